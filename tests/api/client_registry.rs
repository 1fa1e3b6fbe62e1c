//! A changed client registry is loaded; an invalid one is refused, and the last valid one remains.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, SUPERUSER, path, superuser_password};
use latchkey_tests::clients_file::{ClientsFile, TestClient, compressed, registry};
use latchkey_tests::logs;
use latchkey_tests::wait;
use serde_json::{Value, json};

/// `clients` in `/status`.
async fn loaded(app: &App) -> Value {
    app.server().status().await["clients"].clone()
}

async fn reloads(app: &App, outcome: &str) -> f64 {
    app.server().metric("latchkey_client_registry_reloads_total", &[outcome]).await
}

/// Whether the registry is refused now.
async fn refused_now(app: &App) -> String {
    app.server().metric("latchkey_file_refused", &["file=\"clients\""]).await.to_string()
}

async fn wait_for_refusals(app: &App, fault: &str, expected: f64) {
    wait::until(&format!("the registry with {fault} to be refused"), || async {
        let refused = reloads(app, "refused").await;
        wait::check(refused >= expected, refused)
    })
    .await;
}

fn file(app: &App) -> &ClientsFile {
    app.clients.as_ref().unwrap()
}

#[tokio::test]
async fn without_a_registry_clients_are_unknown_and_people_are_not() {
    let client = TestClient::new("orders", &[]);
    let mut app = App::setup().clients(&[]).start().await;
    // As when the Secret does not exist yet.
    std::fs::remove_file(file(&app).path()).unwrap();
    app.restart(0).await;
    assert_eq!(loaded(&app).await, Value::Null);
    assert_eq!(client.token_response(&app, &[]).await.problem(401)["error"], "invalid_client");
    app.log_in_as(SUPERUSER, &superuser_password()).await;

    app.register(std::slice::from_ref(&client)).await;
    assert_eq!(loaded(&app).await, json!({ "serial": 2, "count": 1 }));
    client.token(&app).await;
    assert!((app.server().metric("latchkey_client_registry_clients", &[]).await - 1.0).abs() < f64::EPSILON);
    let text = registry(3, &[client.clone(), TestClient::new("second", &[])]);
    file(&app).replace_bytes(text.as_bytes());
    wait::until_equal("the clients", json!({ "serial": 3, "count": 2 }), || loaded(&app)).await;
}

#[tokio::test]
async fn an_invalid_registry_is_refused_and_the_loaded_one_remains() {
    let client = TestClient::new("orders", &[]);
    let app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let token = client.token(&app).await;
    let good = loaded(&app).await;
    assert_eq!(good, json!({ "serial": 1, "count": 1 }));
    let whole = compressed(2, std::slice::from_ref(&client));
    let digits = client.clone().with("client_id", "123");
    let long_lived = client.clone().with("access_token_ttl", 86_400);
    let json = |clients: &[TestClient]| registry(2, clients).into_bytes();
    let faults = [
        ("nothing", Vec::new()),
        ("no JSON", b"not json".to_vec()),
        ("a truncated file", whole[..whole.len() - 9].to_vec()),
        ("another format", registry(2, &[]).replace("\"format\":1", "\"format\":9").into_bytes()),
        ("a client with the id of an account", json(&[digits])),
        ("tokens that live for a day", json(&[long_lived])),
        ("the same client twice", json(&[client.clone(), client.clone()])),
        ("a lower serial", compressed(0, &[])),
    ];
    for (number, (fault, content)) in (1_u32..).zip(faults) {
        file(&app).replace_bytes(&content);
        wait_for_refusals(&app, fault, number.into()).await;
        assert_eq!(loaded(&app).await, good, "{fault}");
        assert_eq!(app.get(path::VERIFY).bearer_auth(&token).answer().await.status, 200, "{fault}");
        client.token(&app).await;
    }
    std::fs::remove_file(file(&app).path()).unwrap();
    wait_for_refusals(&app, "no file", 9.0).await;
    client.token(&app).await;
    // Each of them is reported once.
    wait::until_equal("the errors in the log", 9, async || {
        app.server().log().iter().filter(|line| line.contains("client registry was not loaded")).count()
    })
    .await;
    let digest = client.entry["credentials"][0]["sha256"].as_str().unwrap();
    assert!(!app.server().log().iter().any(|line| line.contains(digest) || logs::leak(line).is_some()));

    assert_eq!(refused_now(&app).await, "1");
    app.register(&[]).await;
    assert_eq!(app.get(path::VERIFY).bearer_auth(&token).answer().await.status, 401);
    wait::until_equal("the metric", "0".to_owned(), || refused_now(&app)).await;
}

#[tokio::test]
async fn a_replica_that_never_read_a_valid_registry_serves_people_and_no_clients() {
    let client = TestClient::new("orders", &[]);
    let mut app = App::setup().clients(std::slice::from_ref(&client)).start().await;
    let token = client.token(&app).await;
    file(&app).replace_bytes(b"damaged");
    wait_for_refusals(&app, "damage", 1.0).await;
    app.restart(0).await;
    assert_eq!(loaded(&app).await, Value::Null);

    app.log_in_as(SUPERUSER, &superuser_password()).await;
    let password = superuser_password();
    let person = [("username", SUPERUSER), ("password", password.as_str())];
    app.post(path::TOKEN).form(&person).answer().await.ok(200);
    // Which names are registered is not known.
    let named = [person[0], person[1], ("client_id", "orders")];
    assert_eq!(
        app.post(path::TOKEN).form(&named).answer().await.problem(503)["error"],
        "temporarily_unavailable"
    );
    assert_eq!(client.token_response(&app, &[]).await.problem(503)["error"], "temporarily_unavailable");
    app.get(path::VERIFY).bearer_auth(&token).answer().await.problem(503);

    app.register(&[client]).await;
    assert_eq!(app.get(path::VERIFY).bearer_auth(&token).answer().await.status, 200);
}

#[tokio::test]
async fn an_update_of_a_mounted_secret_is_loaded() {
    // The kubelet swaps the symbolic link `..data`.
    let client = TestClient::new("orders", &[]);
    let app = App::setup().clients(&[]).start().await;
    let path = file(&app).path();
    let folder = path.parent().unwrap();
    let mount = |name: &str, content: &[u8]| {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("clients.json.gz"), content).unwrap();
        std::os::unix::fs::symlink(name, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    mount("..1", &compressed(2, &[]));
    std::os::unix::fs::symlink("..data/clients.json.gz", folder.join("link")).unwrap();
    std::fs::rename(folder.join("link"), &path).unwrap();
    mount("..2", &compressed(3, std::slice::from_ref(&client)));
    std::fs::remove_dir_all(folder.join("..1")).unwrap();
    wait::until_equal("the clients", json!({ "serial": 3, "count": 1 }), || loaded(&app)).await;
    client.token(&app).await;
}

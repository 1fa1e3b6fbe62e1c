//! A changed key set file is loaded; an invalid one is refused, and the last valid key set remains.

use std::collections::BTreeSet;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, SUPERUSER, path, superuser_password};
use latchkey_tests::forged_tokens::Forged;
use latchkey_tests::key_set::{self, in_phase};
use latchkey_tests::wait;
use serde_json::{Value, json};

fn kid(key: &Value) -> String {
    key["kid"].as_str().unwrap().to_owned()
}

/// The loaded keys in `/status`, with their phases.
async fn loaded(app: &App) -> BTreeSet<(String, String)> {
    let status = app.server().status().await;
    let keys = status["signing_keys"].as_array().unwrap().iter();
    keys.map(|key| (kid(key), key["phase"].as_str().unwrap().to_owned())).collect()
}

async fn wait_until_loaded(app: &App, keys: &[Value]) {
    let expected: BTreeSet<_> =
        keys.iter().map(|key| (kid(key), key["latchkey_phase"].as_str().unwrap().to_owned())).collect();
    wait::until_equal("the loaded key set", expected, || loaded(app)).await;
}

async fn published(app: &App) -> BTreeSet<String> {
    let set = app.get(path::JWKS).answer().await.json();
    set["keys"].as_array().unwrap().iter().map(kid).collect()
}

#[tokio::test]
async fn a_key_rotation_needs_no_restart_and_ends_no_session() {
    let [old, new] = ["ES256", "ES256"].map(key_set::generate);
    let app = App::setup().keys(vec![old.clone()]).start().await;
    let (user, before) = app.new_session("rotated").await;

    let keys = [old.clone(), in_phase(&new, "published")];
    app.keys.replace(&keys);
    wait_until_loaded(&app, &keys).await;
    assert_eq!(published(&app).await, BTreeSet::from([kid(&old), kid(&new)]));
    let during = app.log_in(&user).await;
    assert_eq!(Forged::from_token(&during.access).header["kid"], old["kid"], "published keys do not sign");
    let early = Forged::from_token(&during.access).header("kid", kid(&new)).sign(&new);
    app.me(&early).await.ok(200);

    let keys = [in_phase(&old, "retiring"), new.clone()];
    app.keys.replace(&keys);
    wait_until_loaded(&app, &keys).await;
    let after = app.log_in(&user).await;
    assert_eq!(Forged::from_token(&after.access).header["kid"], new["kid"]);
    for session in [&before, &during, &after] {
        app.me(&session.access).await.ok(200);
        app.refresh(session).await.ok(200);
    }

    let keys = [new.clone()];
    app.keys.replace(&keys);
    wait_until_loaded(&app, &keys).await;
    app.me(&before.access).await.problem(401);
    app.me(&after.access).await.ok(200);
    assert_eq!(published(&app).await, BTreeSet::from([kid(&new)]));
}

#[tokio::test]
async fn an_invalid_key_set_is_refused_and_the_loaded_one_remains() {
    let app = App::start().await;
    let good = loaded(&app).await;
    let key: Value = serde_json::from_str(&std::fs::read_to_string(app.keys.path()).unwrap()).unwrap();
    let key = &key["keys"][0];
    let session = app.superuser().await;
    let without = |member: &str| {
        let mut key = key.clone();
        key.as_object_mut().unwrap().remove(member);
        json!({ "keys": [key] }).to_string()
    };
    let with = |member: &str, value: Value| {
        let mut key = key.clone();
        key[member] = value;
        json!({ "keys": [key] }).to_string()
    };
    let faults = [
        ("nothing", String::new()),
        ("no JSON", "not json".to_owned()),
        ("no keys", r#"{"keys":[]}"#.to_owned()),
        ("no key that signs", with("latchkey_phase", json!("retiring"))),
        ("an unknown phase", with("latchkey_phase", json!("resting"))),
        ("two keys that sign", json!({ "keys": [key, key_set::generate("ES256")] }).to_string()),
        ("the same id twice", json!({ "keys": [key, in_phase(key, "retiring")] }).to_string()),
        ("a public key", without("d")),
        ("no id", without("kid")),
        ("a private half of another key", with("d", key_set::generate("ES256")["d"].clone())),
        ("another algorithm", with("alg", json!("RS256"))),
        ("a symmetric key", json!({ "keys": [{
            "kty": "oct", "k": "c2VjcmV0", "kid": "1", "alg": "HS256", "use": "sig", "latchkey_phase": "active",
        }] }).to_string()),
    ];
    for (number, (fault, text)) in faults.into_iter().enumerate() {
        app.keys.replace_text(&text);
        wait::until(&format!("the key set with {fault} to be refused"), || async {
            let log = app.server().log();
            let errors = log.iter().filter(|line| line.contains("\"level\":\"ERROR\"")).count();
            wait::check(errors > number, errors)
        })
        .await;
        assert_eq!(loaded(&app).await, good, "{fault}");
        app.me(&session.access).await.ok(200);
        app.log_in_as(SUPERUSER, &superuser_password()).await;
    }
    let failures = app.server().metric("latchkey_key_set_reloads_total", &["refused"]).await;
    assert!(failures >= 1.0, "refusals are counted: {failures}");
    assert_eq!(refused_keys(&app).await, "1");

    let keys = [key_set::generate("EdDSA"), in_phase(key, "retiring")];
    app.keys.replace(&keys);
    wait_until_loaded(&app, &keys).await;
    wait::until_equal("the metric", "0".to_owned(), || refused_keys(&app)).await;
    app.me(&session.access).await.ok(200);
}

/// Whether the key set is refused now.
async fn refused_keys(app: &App) -> String {
    app.server().metric("latchkey_file_refused", &["file=\"signing_keys\""]).await.to_string()
}

#[tokio::test]
async fn the_loaded_key_set_remains_if_the_file_is_deleted() {
    let app = App::start().await;
    let good = loaded(&app).await;
    let text = std::fs::read_to_string(app.keys.path()).unwrap();
    std::fs::remove_file(app.keys.path()).unwrap();
    app.server().wait_for_log("\"level\":\"ERROR\"").await;
    assert_eq!(loaded(&app).await, good);
    app.log_in_as(SUPERUSER, &superuser_password()).await;
    app.keys.replace_text(&text);
    app.log_in_as(SUPERUSER, &superuser_password()).await;
}

#[tokio::test]
async fn an_update_of_a_mounted_secret_is_loaded() {
    // The kubelet swaps the symbolic link `..data`; the file itself, a link through it, never changes.
    let app = App::start().await;
    let folder = app.keys.folder();
    let first = std::fs::read_to_string(app.keys.path()).unwrap();
    let next = key_set::generate("ES256");
    let mount = |name: &str, text: &str| {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("keys.json"), text).unwrap();
        std::os::unix::fs::symlink(name, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    mount("..1", &first);
    std::os::unix::fs::symlink("..data/keys.json", folder.join("keys.json.new")).unwrap();
    std::fs::rename(folder.join("keys.json.new"), app.keys.path()).unwrap();

    mount("..2", &json!({ "keys": [&next] }).to_string());
    std::fs::remove_dir_all(folder.join("..1")).unwrap();

    wait_until_loaded(&app, &[next]).await;
}

//! A Redis that answers and refuses what the server needs: the server stays correct and available with PostgreSQL, and
//! says what is wrong.

use latchkey_tests::app::App;
use latchkey_tests::redis::Redis;
use latchkey_tests::server::{Server, run_command};
use latchkey_tests::wait;

const PASSWORD: &str = "NeverLogged-acl";

/// Waits until every replica reports this store, and returns what the first one says about it.
pub async fn wait_for_mode(app: &App, mode: &str) -> String {
    let mut message = String::new();
    for server in app.servers.iter().rev() {
        message = wait::until(&format!("revocation by {mode}"), || async {
            let revocation = server.status().await["revocation"].clone();
            match revocation["message"].as_str() {
                Some(message) if revocation["mode"] == mode => Ok(message.to_owned()),
                _ => Err(revocation),
            }
        })
        .await;
    }
    message
}

/// Waits until a replica reports something about Redis that contains this.
async fn wait_for_message(server: &Server, text: &str) {
    wait::until(&format!("a message with `{text}`"), || async {
        let message = server.readiness().await.json()["dependencies"]["redis"]["message"].to_string();
        wait::check(message.contains(text), message)
    })
    .await;
}

/// The command in the documentation that creates the user.
fn documented_user() -> String {
    let page = include_str!("../../docs/how-to/use-external-stores.md");
    let line = page.lines().map(str::trim).find(|line| line.starts_with("ACL SETUSER latchkey "));
    line.expect("the command in the documentation").replace("PASSWORD", PASSWORD)
}

/// An ended session is refused by every replica, an open one is accepted, and all replicas are ready.
async fn assert_correct_and_available(app: &App) {
    let (_, out) = app.new_session("out").await;
    let (_, open) = app.new_session("open").await;
    app.log_out(&out).await.ok(200);
    for (number, server) in app.servers.iter().enumerate() {
        assert_eq!(server.readiness().await.status, 200);
        app.me_at(number, &out.access).await.problem(401);
        app.me_at(number, &open.access).await.ok(200);
    }
}

#[tokio::test]
async fn the_documented_permissions_suffice() {
    let redis = Redis::start();
    redis.run(&documented_user()).await;
    let app = App::setup().replicas(2).set("REDIS_URL", &redis.url_as("latchkey", PASSWORD)).start().await;
    wait_for_mode(&app, "redis").await;
    assert_correct_and_available(&app).await;
    // The rate limits count in Redis too, and give back.
    app.post_login("nobody", "wrong password").await.problem(401);
    assert!(redis.keys().await.iter().any(|key| key.contains(":limit:")), "{:?}", redis.keys().await);
    wait_for_mode(&app, "redis").await;
    for server in &app.servers {
        assert!(!server.log().iter().any(|line| line.contains("did not count") || line.contains("NOPERM")));
    }
}

#[tokio::test]
async fn every_missing_permission_is_named() {
    let redis = Redis::start();
    let user = documented_user();
    redis.run(&user).await;
    let mut app = App::setup().set("REDIS_URL", &redis.url_as("latchkey", PASSWORD)).start().await;
    let permissions: Vec<_> = user.split_whitespace().filter_map(|word| word.strip_prefix('+')).collect();
    assert!(permissions.len() >= 6, "{permissions:?}");
    for permission in permissions {
        wait_for_mode(&app, "redis").await;
        redis.run(&format!("ACL SETUSER latchkey -{permission}")).await;
        // The permission is missing when a replica starts.
        app.restart(0).await;
        wait_for_mode(&app, "postgres").await;
        let named = permission.to_ascii_uppercase();
        wait_for_message(app.server(), &format!("may not run {named}")).await;
        let output = run_command(&["check"], &app.variables);
        let said = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
        assert!(!output.status.success() && said.contains(&format!("may not run {named}")), "{said}");
        assert!(app.server().log().iter().any(|line| line.contains(&format!("may not run {named}"))));
        redis.run(&format!("ACL SETUSER latchkey +{permission}")).await;
    }
    redis.run("ACL SETUSER latchkey resetkeys ~other:*").await;
    app.restart(0).await;
    wait_for_message(app.server(), "latchkey:*").await;
}

#[tokio::test]
async fn without_info_postgresql_decides() {
    let redis = Redis::start();
    redis.run(&documented_user()).await;
    redis.run("ACL SETUSER latchkey -info -config").await;
    let app = App::setup().replicas(2).set("REDIS_URL", &redis.url_as("latchkey", PASSWORD)).start().await;
    let message = wait_for_mode(&app, "postgres").await;
    assert!(message.contains("may not run INFO"), "{message}");
    assert_correct_and_available(&app).await;
    let readiness = app.server().readiness().await.json();
    let redis_message = readiness["dependencies"]["redis"]["message"].as_str().unwrap();
    assert!(
        redis_message.contains("may not run INFO") && redis_message.contains("PostgreSQL"),
        "{redis_message}"
    );
    // A server without the command answers differently.
    let renamed = Redis::start_with_settings("rename-command INFO \"\"\n", "NeverLogged-renamed");
    let app = App::setup().set("REDIS_URL", &renamed.url()).start().await;
    let message = wait_for_mode(&app, "postgres").await;
    assert!(message.contains("does not offer the command INFO"), "{message}");
}

#[tokio::test]
async fn failing_snapshots_and_a_full_memory_leave_the_decision_to_postgresql() {
    let mut app = App::setup().replicas(2).start().await;
    for (name, reported) in [("snapshots", "MISCONF"), ("memory", "OOM")] {
        wait_for_mode(&app, "redis").await;
        let (_, before) = app.new_session("before").await;
        let (_, during) = app.new_session("during").await;
        app.log_out(&before).await.ok(200);

        if name == "snapshots" {
            app.redis.break_snapshots().await;
        } else {
            app.redis.run("CONFIG SET maxmemory 1").await;
        }
        let message = wait_for_mode(&app, "postgres").await;
        assert!(message.contains(reported), "{message}");
        app.log_out(&during).await.ok(200);
        assert_correct_and_available(&app).await;
        // A replica that starts now serves too.
        app.restart(1).await;
        for replica in 0..2 {
            app.me_at(replica, &before.access).await.problem(401);
            app.me_at(replica, &during.access).await.problem(401);
        }
        let output = run_command(&["check"], &app.variables);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains(reported));
        let logged = app.server().log().iter().filter(|line| line.contains(reported)).count();
        assert!((1..=2).contains(&logged), "logged {logged} times");

        if name == "snapshots" {
            app.redis.repair_snapshots().await;
        } else {
            app.redis.run("CONFIG SET maxmemory 0").await;
        }
        wait_for_mode(&app, "redis").await;
        for replica in 0..2 {
            app.me_at(replica, &before.access).await.problem(401);
            app.me_at(replica, &during.access).await.problem(401);
        }
    }
}

#[tokio::test]
async fn a_replica_is_refused_with_a_clear_sentence() {
    let app = App::start().await;
    let replica = Redis::start();
    replica.follow(&app.redis).await;
    let mut variables = app.variables.clone();
    variables.insert("REDIS_URL".to_owned(), replica.url());
    let output = run_command(&["check"], &variables);
    let said = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
    assert!(!output.status.success() && said.contains("read-only replica"), "{said}");
    let server = Server::start(&variables).await;
    wait_for_message(&server, "read-only replica").await;
}

//! `GET /status`

use std::collections::BTreeSet;

use insta::assert_json_snapshot;
use latchkey_tests::app::App;
use latchkey_tests::documentation::{names, read, section};
use latchkey_tests::wait;
use serde_json::Value;

fn fields(object: &Value) -> BTreeSet<String> {
    object.as_object().expect("an object").keys().cloned().collect()
}

#[tokio::test]
async fn status_reports_version_schema_keys_and_revocation() {
    let app = App::start().await;
    app.server().wait_for_revocation_mode("redis").await;
    wait::until_equal("the number of replicas", 1, || async {
        app.server().status().await["database_pool"]["replicas"].clone()
    })
    .await;
    assert_json_snapshot!(app.server().status().await, {
        ".version" => "<version>",
        ".time" => "<seconds>",
        ".schema_version" => "<schema version>",
        ".signing_keys[].kid" => "<kid>",
        ".password_hash_workers" => "<workers>",
        ".database_pool.open" => "<number>",
        ".database_pool.idle" => "<number>",
        ".revocation.message" => "<message>",
        ".dependencies.*.message" => "<message>",
    });
    let status = app.server().status().await;
    assert!(status["schema_version"].as_i64().is_some_and(|version| version >= 1), "{status}");
    assert!(status["version"].as_str().is_some_and(|version| version.starts_with("0.")), "{status}");
}

#[tokio::test]
async fn without_redis_status_reports_revocation_by_postgres() {
    let mut app = App::start().await;
    app.redis.stop();
    app.server().wait_for_revocation_mode("postgres").await;
    let status = app.server().status().await;
    assert!(status["revocation"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{status}");
}

#[tokio::test]
async fn the_documentation_lists_the_fields_of_status() {
    let app = App::start().await;
    wait::until_equal("the number of replicas", 1, || async {
        app.server().status().await["database_pool"]["replicas"].clone()
    })
    .await;
    let status = app.server().status().await;
    let page = read("docs/reference/management-port.md");
    assert_eq!(names(section(&page, "## Fields of `/status`")), fields(&status));
    let mut of_the_pool = names(section(&page, "## Database pool"));
    // Only present if the pools are too large for the database.
    assert!(of_the_pool.remove("warning"));
    assert_eq!(of_the_pool, fields(&status["database_pool"]));
    let ready: Value = serde_json::from_str(&app.server().readiness().await.body).expect("JSON");
    assert_eq!(fields(&ready), BTreeSet::from(["ready".to_owned(), "dependencies".to_owned()]));
}

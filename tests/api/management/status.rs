//! `GET /status`

use insta::assert_json_snapshot;
use latchkey_tests::app::App;
use latchkey_tests::wait;

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

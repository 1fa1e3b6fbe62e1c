//! `GET /status`

use insta::assert_json_snapshot;
use latchkey_tests::app::App;
use latchkey_tests::wait;

#[tokio::test]
async fn tells_version_schema_keys_and_revocation() {
    let app = App::start().await;
    wait::until("revocation by redis and the count of the replicas", || async {
        let status = app.server().status().await;
        let counted = status["database_pool"]["replicas"] == 1;
        (status["revocation"]["mode"] == "redis" && counted).then_some(())
    })
    .await;
    assert_json_snapshot!(app.server().status().await, {
        ".version" => "<version>",
        ".time" => "<seconds>",
        ".schema_version" => "<schema version>",
        ".signing_keys[].kid" => "<kid>",
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
async fn reports_when_revocation_falls_back() {
    let mut app = App::start().await;
    app.redis.stop();
    let status = wait::until("revocation by postgres", || async {
        let status = app.server().status().await;
        (status["revocation"]["mode"] == "postgres").then_some(status)
    })
    .await;
    assert!(status["revocation"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{status}");
}

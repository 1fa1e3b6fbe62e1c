//! `GET /api/v1/users/{id}`

use insta::assert_json_snapshot;
use latchkey_tests::app::App;

use super::{assert_for_superusers, send};

#[tokio::test]
async fn an_account_is_returned() {
    let app = App::start().await;
    let user = app.create_user("shown").await;

    let answer = send(&app, "GET", &format!("/{}", user.id)).await;

    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_json_snapshot!(
        answer.ok(200),
        { ".id" => "<id>", ".username" => "<name>", ".email" => "<address>", ".created_at" => "<time>" },
    );
    assert_eq!(answer.json()["username"], user.username);
    assert_eq!(answer.json()["id"], user.id);
    chrono::DateTime::parse_from_rfc3339(answer.json()["created_at"].as_str().unwrap()).unwrap();
}

#[tokio::test]
async fn an_unknown_id_gets_404() {
    let app = App::start().await;
    for id in ["0", "-1", "999999", "9223372036854775807", "99999999999999999999", "abc", "1.5", "%00", "%ff"]
    {
        for method in ["GET", "DELETE"] {
            send(&app, method, &format!("/{id}")).await.problem(404);
        }
    }
    send(&app, "DELETE", "/999999/sessions").await.problem(404);
    let patch = super::patch(&app, 999_999, &serde_json::json!({ "name": "New" })).await;
    assert_json_snapshot!(patch.problem(404), { ".instance" => "<request id>" });
}

#[tokio::test]
async fn other_users_get_403() {
    let app = App::start().await;
    let (user, session) = app.new_session("plain").await;
    assert_for_superusers(&app, &session, "GET", &format!("/{}", user.id)).await;
    assert_for_superusers(&app, &session, "GET", "/nonsense").await;
}

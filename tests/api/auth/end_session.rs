//! `DELETE /api/v1/auth/sessions/{id}`

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, path};

use super::list_sessions::list;

async fn end(app: &App, session: &Session, id: &str) -> Answer {
    let path = format!("{}/{id}", path::SESSIONS);
    app.server().request("DELETE", &path).bearer_auth(&session.access).answer().await
}

/// The id of a session in its own list.
async fn id(app: &App, session: &Session) -> String {
    list(app, session).await[0]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn the_tokens_of_an_ended_session_are_refused_by_every_replica() {
    let app = App::setup().replicas(2).start().await;
    let (user, session) = app.new_session("john").await;
    let stolen = app.log_in(&user).await;
    app.me_at(1, &stolen.access).await.ok(200);
    let id = id(&app, &stolen).await;

    let answer = end(&app, &session, &id).await;

    assert_eq!((answer.status, answer.sets_cookie()), (204, false), "{answer:?}");
    app.me_at(1, &stolen.access).await.problem(401);
    app.refresh_at(1, &stolen).await.problem(401);
    app.me_at(1, &session.access).await.ok(200);
    assert_eq!(list(&app, &session).await.len(), 1);
    let audited = "SELECT count(*) FROM audit_events WHERE kind = 'session_ended' AND session_id = $1::uuid";
    assert_eq!(app.database.count(audited, &id).await, 1);
    // A repeated request succeeds, as after a lost response.
    assert_eq!(end(&app, &session, &id).await.status, 204);
    assert_eq!(app.database.count(audited, &id).await, 1);
}

#[tokio::test]
async fn ending_the_own_session_is_a_logout() {
    let app = App::start().await;
    let (_, session) = app.new_session("john").await;
    let answer = end(&app, &session, &id(&app, &session).await).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.cookie()[0], "refresh_token=");
    app.me(&session.access).await.problem(401);
    app.refresh(&session).await.problem(401);
}

#[tokio::test]
async fn a_session_of_another_user_gets_404() {
    let app = App::start().await;
    let (_, session) = app.new_session("john").await;
    let (_, other_user) = app.new_session("other-user").await;
    let theirs = id(&app, &other_user).await;
    let unknown = end(&app, &session, "00000000-0000-4000-8000-000000000000").await.problem(404);
    let foreign = end(&app, &session, &theirs).await.problem(404);
    assert_eq!(foreign["detail"], unknown["detail"]);
    app.me(&other_user.access).await.ok(200);
    app.log_out(&other_user).await.ok(200);
    end(&app, &session, &theirs).await.problem(404);
    for nonsense in ["nonsense", "%ff", "1"] {
        end(&app, &session, nonsense).await.problem(404);
    }
}

#[tokio::test]
async fn a_request_without_a_token_gets_401() {
    let app = App::start().await;
    let (_, session) = app.new_session("john").await;
    let path = format!("{}/{}", path::SESSIONS, id(&app, &session).await);
    let cookie = format!("refresh_token={}", session.refresh);
    app.server().request("DELETE", &path).header("cookie", cookie).answer().await.problem(401);
    app.me(&session.access).await.ok(200);
}

//! `POST /api/v1/auth/revoke` (RFC 7009)

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, path};
use latchkey_tests::forged_tokens::Forged;
use latchkey_tests::{key_set, wait};
use reqwest::RequestBuilder;

use super::clients::{CLIENT_ID, CLIENT_SECRET, assert_authenticates, with_client};

fn by_client(app: &App, replica: usize) -> RequestBuilder {
    app.servers[replica].post(path::REVOKE).basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
}

async fn revoke(app: &App, token: &str) -> Answer {
    by_client(app, 0).form(&[("token", token)]).answer().await
}

#[track_caller]
fn assert_done(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

async fn assert_ended(app: &App, session: &Session) {
    for replica in 0..app.servers.len() {
        app.me_at(replica, &session.access).await.problem(401);
        app.refresh_at(replica, session).await.problem(401);
    }
}

#[tokio::test]
async fn revoking_either_token_ends_the_session_on_every_replica() {
    let app = with_client().replicas(2).start().await;
    for kind in ["access", "refresh"] {
        let (_, session) = app.new_session(kind).await;
        let (_, other) = app.new_session("other").await;
        app.me_at(1, &session.access).await.ok(200);

        assert_done(&revoke(&app, if kind == "access" { &session.access } else { &session.refresh }).await);

        assert_ended(&app, &session).await;
        app.me_at(1, &other.access).await.ok(200);
    }
}

#[tokio::test]
async fn revoking_an_expired_or_rotated_token_ends_its_session() {
    let app = with_client().start().await;
    let (_, first) = app.new_session("rotated").await;
    let second = Session::from_answer(&app.refresh(&first).await);
    assert_done(&revoke(&app, &first.refresh).await);
    assert_ended(&app, &second).await;

    let (_, session) = app.new_session("expired").await;
    let expired =
        Forged::from_token(&session.access).claim("exp", 1_700_000_000).sign(key_set::of_this_process());
    assert_done(&revoke(&app, &expired).await);
    assert_ended(&app, &session).await;
}

#[tokio::test]
async fn an_ended_session_is_audited_once_with_its_actor() {
    const EVENTS: &str = "SELECT count(*) FROM audit_events e JOIN users u ON u.id = e.user_id \
         WHERE u.username = $1 AND e.kind = 'token_revoked' AND e.session_id IS NOT NULL AND e.address IS NOT NULL";
    const ACTORS: &str = "SELECT count(*) FROM audit_events e JOIN users u ON u.id = e.user_id \
         JOIN users a ON a.id = e.actor_id AND a.is_superuser WHERE u.username = $1 AND e.kind = 'token_revoked'";
    let app = with_client().start().await;
    let (user, session) = app.new_session("seen").await;
    for _ in 0..2 {
        assert_done(&revoke(&app, &session.access).await);
    }
    assert_eq!(app.database.count(EVENTS, &user.username).await, 1);
    assert_eq!(app.database.count(ACTORS, &user.username).await, 0);

    let session = app.log_in(&user).await;
    let superuser = &app.superuser().await.access;
    let form = [("token", session.refresh.as_str())];
    assert_done(&app.post(path::REVOKE).bearer_auth(superuser).form(&form).answer().await);
    assert_eq!(app.database.count(EVENTS, &user.username).await, 2);
    assert_eq!(app.database.count(ACTORS, &user.username).await, 1);
    let counted = app.server().metric("latchkey_audit_events_total", &["token_revoked", "success"]).await;
    assert!((counted - 2.0).abs() < f64::EPSILON, "{counted}");
}

#[tokio::test]
async fn an_invalid_token_gets_200() {
    let app = with_client().start().await;
    let (_, session) = app.new_session("spared").await;
    let pattern = Forged::from_token(&session.access);
    for token in
        ["nonsense", &pattern.unsigned(), &pattern.claim("aud", "x").sign(&key_set::generate("ES256"))]
    {
        assert_done(&revoke(&app, token).await);
    }
    app.me(&session.access).await.ok(200);
}

#[tokio::test]
async fn superusers_and_the_configured_client_are_authenticated() {
    assert_authenticates(path::REVOKE).await;
}

#[tokio::test]
async fn the_hint_is_ignored_and_the_token_is_required() {
    let app = with_client().start().await;
    for hint in ["access_token", "refresh_token", "nonsense"] {
        let (_, session) = app.new_session("hint").await;
        let form = [("token", session.access.as_str()), ("token_type_hint", hint)];
        assert_done(&by_client(&app, 0).form(&form).answer().await);
        assert_ended(&app, &session).await;
    }
    let answer = by_client(&app, 0).form(&[("token", "")]).answer().await;
    assert_eq!(answer.invalid_fields(), ["token"]);
    assert_eq!(answer.json()["error"], "invalid_request");
}

#[tokio::test]
async fn without_the_database_the_request_gets_503() {
    let mut app = with_client().own_postgres().start().await;
    let (_, session) = app.new_session("dark").await;
    app.postgres.as_mut().unwrap().stop();
    assert_eq!(revoke(&app, &session.access).await.problem(503)["error"], "temporarily_unavailable");
    app.postgres.as_mut().unwrap().start_again();
    // Each connection of the pool only fails when it is used.
    let answer = wait::until("a response other than 503", || async {
        let answer = revoke(&app, &session.access).await;
        if answer.status == 503 { Err(answer) } else { Ok(answer) }
    })
    .await;
    assert_done(&answer);
    assert_ended(&app, &session).await;
}

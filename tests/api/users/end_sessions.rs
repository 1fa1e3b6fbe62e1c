//! `DELETE /api/v1/users/{id}/sessions`

use latchkey_tests::app::App;

use super::{assert_for_superusers, audited, send};

#[tokio::test]
async fn every_session_of_the_account_ends_on_every_replica() {
    let app = App::setup().replicas(2).start().await;
    let (user, first) = app.new_session("ended").await;
    let second = app.log_in(&user).await;
    let (_, other) = app.new_session("other").await;

    let answer = send(&app, "DELETE", &format!("/{}/sessions", user.id)).await;

    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    for replica in 0..2 {
        for session in [&first, &second] {
            app.me_at(replica, &session.access).await.problem(401);
            app.refresh_at(replica, session).await.problem(401);
        }
        app.me_at(replica, &other.access).await.ok(200);
    }
    app.log_in(&user).await;
}

#[tokio::test]
async fn ended_sessions_are_audited_once() {
    let app = App::start().await;
    let (user, _) = app.new_session("recorded").await;
    for _ in 0..2 {
        assert_eq!(send(&app, "DELETE", &format!("/{}/sessions", user.id)).await.status, 204);
    }
    assert_eq!(audited(&app, "user_sessions_ended", "success", user.id).await, 1);
}

#[tokio::test]
async fn other_users_get_403() {
    let app = App::start().await;
    let (user, session) = app.new_session("plain").await;
    assert_for_superusers(&app, &session, "DELETE", &format!("/{}/sessions", user.id)).await;
    app.me(&session.access).await.ok(200);
}

//! `DELETE /api/v1/users/{id}`

use latchkey_tests::app::App;

use super::{assert_for_superusers, audited, send};

#[tokio::test]
async fn a_deleted_account_is_gone_and_its_sessions_end_on_every_replica() {
    let app = App::setup().replicas(2).start().await;
    let (user, session) = app.new_session("removed").await;
    app.me_at(1, &session.access).await.ok(200);

    let answer = send(&app, "DELETE", &format!("/{}", user.id)).await;

    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    for replica in 0..2 {
        app.me_at(replica, &session.access).await.problem(401);
        app.refresh_at(replica, &session).await.problem(401);
    }
    app.post_login(&user.username, &user.password).await.problem(401);
    send(&app, "GET", &format!("/{}", user.id)).await.problem(404);
    send(&app, "DELETE", &format!("/{}", user.id)).await.problem(404);
    assert_eq!(audited(&app, "user_deleted", "success", user.id).await, 1, "the audit outlives the account");
}

#[tokio::test]
async fn the_names_of_a_deleted_account_are_available_again() {
    let app = App::start().await;
    let user = app.create_user("freed").await;
    send(&app, "DELETE", &format!("/{}", user.id)).await;
    let again = app.post_user(&latchkey_tests::app::new_user(&user)).await.ok(201);
    assert_ne!(again["id"], user.id);
}

#[tokio::test]
async fn other_users_get_403() {
    let app = App::start().await;
    let (user, session) = app.new_session("plain").await;
    assert_for_superusers(&app, &session, "DELETE", &format!("/{}", user.id)).await;
    app.me(&session.access).await.ok(200);
}

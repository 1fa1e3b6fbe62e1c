//! `DELETE /api/v1/groups/{name}/members/{id}`

use latchkey_tests::app::App;

use super::{as_root, audited, create, join, members, officer, send};

#[tokio::test]
async fn a_removed_member_keeps_its_sessions() {
    let app = App::start().await;
    let (user, session) = app.new_session("member").await;
    let other = app.create_user("other").await;
    create(&app, "support", &[]).await;
    join(&app, "support", &user).await;
    join(&app, "support", &other).await;
    let (manager, by) = officer(&app, "manager", &["groups.manage"]).await;

    let member = format!("/support/members/{}", user.id);
    for _ in 0..2 {
        let answer = send(&app, &by, "DELETE", &member, None).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }

    assert_eq!(members(&app, "support").await, [other.username]);
    app.me(&session.access).await.ok(200);
    assert_eq!(audited(&app, "group_member_removed", manager.id).await, 1);
    assert_eq!(audited(&app, "user_sessions_ended", manager.id).await, 0);
}

#[tokio::test]
async fn the_sessions_end_on_every_replica_if_that_is_requested() {
    let app = App::setup().replicas(2).start().await;
    let (user, first) = app.new_session("member").await;
    let second = app.log_in(&user).await;
    let (_, bystander) = app.new_session("bystander").await;
    app.me_at(1, &second.access).await.ok(200);
    create(&app, "support", &[]).await;
    join(&app, "support", &user).await;
    let (manager, by) = officer(&app, "manager", &["groups.manage"]).await;

    let member = format!("/support/members/{}?end_sessions=true", user.id);
    assert_eq!(send(&app, &by, "DELETE", &member, None).await.status, 204);

    for replica in 0..2 {
        for session in [&first, &second] {
            app.me_at(replica, &session.access).await.problem(401);
            app.refresh_at(replica, session).await.problem(401);
        }
        app.me_at(replica, &bystander.access).await.ok(200);
    }
    assert_eq!(audited(&app, "group_member_removed", manager.id).await, 1);
    assert_eq!(audited(&app, "user_sessions_ended", manager.id).await, 1);

    // Repeated after a login, it ends that session too, although the account is no member.
    let third = app.log_in(&user).await;
    assert_eq!(send(&app, &by, "DELETE", &member, None).await.status, 204);
    app.me_at(1, &third.access).await.problem(401);
    assert_eq!(audited(&app, "group_member_removed", manager.id).await, 1);
    assert_eq!(audited(&app, "user_sessions_ended", manager.id).await, 2);
    app.log_in(&user).await;
}

#[tokio::test]
async fn a_manager_may_leave_and_end_the_own_session() {
    let app = App::start().await;
    let (manager, session) = officer(&app, "manager", &["groups.manage"]).await;
    let member = format!("/{}/members/{}?end_sessions=true", manager.username, manager.id);
    assert_eq!(send(&app, &session, "DELETE", &member, None).await.status, 204);
    send(&app, &session, "DELETE", &member, None).await.problem(401);
    assert_eq!(members(&app, &manager.username).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_parameter_is_true_or_false() {
    let app = App::start().await;
    let user = app.create_user("member").await;
    create(&app, "support", &[]).await;
    for (query, fields) in [
        ("end_sessions=yes", ["end_sessions"]),
        ("end_sessions=", ["end_sessions"]),
        ("end_session=true", ["query"]),
    ] {
        let answer = as_root(&app, "DELETE", &format!("/support/members/{}?{query}", user.id), None).await;
        assert_eq!(answer.invalid_fields(), fields, "{query}");
    }
}

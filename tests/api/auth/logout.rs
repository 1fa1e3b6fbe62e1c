//! `POST /api/v1/auth/logout`

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, Session, path};
use latchkey_tests::forged_tokens::Forged;

#[tokio::test]
async fn a_logout_ends_the_session_and_clears_the_cookie() {
    let app = App::start().await;
    let (user, session) = app.new_session("leaving").await;

    let answer = app.log_out(&session).await;

    assert_json_snapshot!(answer.ok(200), @r#"
    {
      "message": "Logged out successfully."
    }
    "#);
    let cookie = answer.cookie();
    assert_eq!(cookie[0], "refresh_token=");
    for attribute in ["HttpOnly", "Max-Age=0", "Path=/api/v1/auth", "SameSite=Lax", "Secure"] {
        assert!(cookie.iter().any(|part| part == attribute), "{attribute} is missing: {cookie:?}");
    }
    app.me(&session.access).await.problem(401);
    app.refresh(&session).await.problem(401);
    let open = "SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id \
                WHERE u.username = $1 AND s.ended_at IS NULL";
    assert_eq!(app.database.count(open, &user.username).await, 0);
}

#[tokio::test]
async fn a_logout_without_the_cookie_ends_the_session() {
    let app = App::start().await;
    let (_, session) = app.new_session("bare").await;

    let answer = app.post(path::LOGOUT).bearer_auth(&session.access).answer().await;

    assert_eq!(answer.ok(200)["message"], "Logged out successfully.");
    app.me(&session.access).await.problem(401);
    app.refresh(&session).await.problem(401);
}

#[tokio::test]
async fn every_token_of_a_refreshed_session_is_refused() {
    let app = App::start().await;
    let (_, first) = app.new_session("chain").await;
    let second = Session::from_answer(&app.refresh(&first).await);
    app.me(&first.access).await.ok(200);

    app.log_out(&second).await.ok(200);

    for session in [&first, &second] {
        app.me(&session.access).await.problem(401);
        app.refresh(session).await.problem(401);
    }
}

#[tokio::test]
async fn a_cookie_of_another_session_is_ignored() {
    let app = App::start().await;
    let (user, mine) = app.new_session("mine").await;
    let my_other = app.log_in(&user).await;
    let (_, of_another) = app.new_session("another").await;

    for (own, foreign) in [(&mine, &my_other), (&my_other, &of_another)] {
        let mixed = Session { access: own.access.clone(), refresh: foreign.refresh.clone() };
        app.me(&foreign.access).await.ok(200);
        app.log_out(&mixed).await.ok(200);
        app.me(&own.access).await.problem(401);
        app.refresh(own).await.problem(401);
        app.me(&foreign.access).await.ok(200);
    }
    app.refresh(&of_another).await.ok(200);
}

#[tokio::test]
async fn an_invalid_cookie_is_ignored() {
    let app = App::start().await;
    let (user, mut session) = app.new_session("odd").await;
    for cookie in ["", "nonsense", "a.b.c", "%00", "\"quoted\""] {
        session.refresh = cookie.to_owned();
        app.log_out(&session).await.ok(200);
        app.me(&session.access).await.problem(401);
        session = app.log_in(&user).await;
    }
}

#[tokio::test]
async fn a_forged_cookie_revokes_nothing() {
    let app = App::start().await;
    let (_, victim) = app.new_session("victim").await;
    let (_, attacker) = app.new_session("attacker").await;
    let forged = Forged::from_token(&victim.refresh).unsigned();

    app.log_out(&Session { access: attacker.access, refresh: forged }).await.ok(200);

    app.me(&victim.access).await.ok(200);
    app.refresh(&victim).await.ok(200);
}

#[tokio::test]
async fn a_request_without_an_access_token_gets_401() {
    let app = App::start().await;
    let (_, session) = app.new_session("still-in").await;

    let no_bearer = app.post(path::LOGOUT).header("cookie", format!("refresh_token={}", session.refresh));
    no_bearer.answer().await.problem(401);
    let by_refresh_token = app.post(path::LOGOUT).bearer_auth(&session.refresh);
    by_refresh_token.answer().await.problem(401);

    app.me(&session.access).await.ok(200);
}

#[tokio::test]
async fn a_second_logout_gets_401() {
    let app = App::start().await;
    let (_, session) = app.new_session("twice-out").await;
    app.log_out(&session).await.ok(200);
    app.log_out(&session).await.problem(401);
}

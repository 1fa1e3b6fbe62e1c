//! Rotation: each refresh token is valid for one exchange. The response to a second one depends on the time since
//! the first.

use futures::future::join_all;
use latchkey_tests::app::{App, Session, User};
use latchkey_tests::forged_tokens::claim;
use sqlx::Connection as _;

const OPEN_SESSIONS: &str = "SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id \
                             WHERE u.username = $1 AND s.ended_at IS NULL";
const THEFTS: &str = "SELECT count(*) FROM audit_events a JOIN users u ON u.id = a.user_id \
                      WHERE u.username = $1 AND a.kind = 'refresh_token_reused'";

/// Moves every exchange so far eleven seconds into the past, beyond the grace period.
async fn let_grace_pass(app: &App, user: &User) {
    let sql = "UPDATE refresh_tokens SET rotated_at = rotated_at - interval '11 seconds' \
               WHERE rotated_at IS NOT NULL AND session_id IN \
               (SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = $1)";
    assert!(app.database.execute_for(sql, &user.username).await > 0, "nothing was rotated");
}

async fn refreshed(app: &App, session: &Session) -> Session {
    Session::from_answer(&app.refresh(session).await)
}

#[tokio::test]
async fn a_second_exchange_within_ten_seconds_gets_valid_tokens() {
    let app = App::start().await;
    let (user, first) = app.new_session("two-tabs").await;

    let one_tab = refreshed(&app, &first).await;
    let other_tab = refreshed(&app, &first).await;

    for tab in [&one_tab, &other_tab] {
        app.me(&tab.access).await.ok(200);
        assert_eq!(claim(&tab.access, "sid"), claim(&first.access, "sid"));
    }
    // After the first tab refreshes again, the tokens of the other one are still valid.
    let one_tab = refreshed(&app, &one_tab).await;
    let other_tab = refreshed(&app, &other_tab).await;
    let_grace_pass(&app, &user).await;
    app.me(&one_tab.access).await.ok(200);
    refreshed(&app, &other_tab).await;
    assert_eq!(app.database.count(OPEN_SESSIONS, &user.username).await, 1);
    assert_eq!(app.database.count(THEFTS, &user.username).await, 0);
}

#[tokio::test]
async fn a_token_two_generations_old_is_valid_within_ten_seconds() {
    let app = App::start().await;
    let (user, first) = app.new_session("slow-answer").await;
    let second = refreshed(&app, &first).await;
    let third = refreshed(&app, &second).await;

    let again = refreshed(&app, &first).await;

    app.me(&again.access).await.ok(200);
    // It is of the current generation: valid for an exchange although the grace period of all earlier ones is over.
    let_grace_pass(&app, &user).await;
    let fourth = refreshed(&app, &again).await;
    app.me(&fourth.access).await.ok(200);
    app.me(&third.access).await.ok(200);
    assert_eq!(app.database.count(THEFTS, &user.username).await, 0);
}

#[tokio::test]
async fn a_second_exchange_after_ten_seconds_ends_the_session() {
    let app = App::start().await;
    let (user, first) = app.new_session("stolen").await;
    let other_session = app.log_in(&user).await;
    let second = refreshed(&app, &first).await;
    let_grace_pass(&app, &user).await;

    app.refresh(&first).await.problem(401);

    for session in [&first, &second] {
        app.me(&session.access).await.problem(401);
        app.refresh(session).await.problem(401);
    }
    assert!(app.database.count(THEFTS, &user.username).await >= 1, "the theft is audited");
    app.me(&other_session.access).await.ok(200);
    assert_eq!(app.database.count(OPEN_SESSIONS, &user.username).await, 1);
}

#[tokio::test]
async fn a_reuse_at_one_replica_ends_the_session_on_all_immediately() {
    let app = App::setup().replicas(2).start().await;
    let (user, first) = app.new_session("spread").await;
    let second = Session::from_answer(&app.refresh_at(1, &first).await);
    let_grace_pass(&app, &user).await;

    app.refresh_at(0, &first).await.problem(401);

    app.me_at(1, &second.access).await.problem(401);
    app.refresh_at(1, &second).await.problem(401);
}

#[tokio::test]
async fn twenty_concurrent_refreshes_all_succeed() {
    let app = App::setup().replicas(2).start().await;
    let (user, first) = app.new_session("crowd").await;

    let answers = join_all((0..20).map(|number| app.refresh_at(number % 2, &first))).await;

    let sessions: Vec<_> = answers.iter().map(Session::from_answer).collect();
    for session in &sessions {
        app.me(&session.access).await.ok(200);
    }
    assert_eq!(app.database.count(OPEN_SESSIONS, &user.username).await, 1);
    assert_eq!(app.database.count(THEFTS, &user.username).await, 0);
    // All twenty are of the current generation, so that any of them can be exchanged.
    let last = refreshed(&app, sessions.last().unwrap()).await;
    app.me(&last.access).await.ok(200);
    refreshed(&app, &last).await;
}

#[tokio::test]
async fn refreshes_that_wait_for_the_session_get_one_generation() {
    let app = App::setup().replicas(2).start().await;
    let (user, first) = app.new_session("queue").await;
    let held = app.database.begin("SELECT FROM sessions FOR UPDATE").await;
    let refreshes = join_all((0..2).map(|replica| app.refresh_at(replica, &first)));
    let release = async {
        app.database.wait_until_blocked(2).await;
        held.close().await.unwrap();
    };

    let (answers, ()) = tokio::join!(refreshes, release);

    let sessions: Vec<_> = answers.iter().map(Session::from_answer).collect();
    let generations: Vec<_> = sessions.iter().map(|session| claim(&session.refresh, "jti")).collect();
    assert_eq!(generations[0], generations[1]);
    assert_eq!(app.database.count(THEFTS, &user.username).await, 0);
    refreshed(&app, &sessions[0]).await;
}

#[tokio::test]
async fn a_refresh_that_waits_for_a_logout_is_refused() {
    let app = App::setup().replicas(2).start().await;
    let (_, first) = app.new_session("leaving").await;
    let held = app.database.begin("SELECT FROM sessions FOR UPDATE").await;
    let log_out_and_refresh = async {
        let refresh = async {
            app.database.wait_until_blocked(1).await;
            app.refresh_at(1, &first).await
        };
        tokio::join!(app.log_out_at(0, &first), refresh)
    };
    let release = async {
        app.database.wait_until_blocked(2).await;
        held.close().await.unwrap();
    };

    let ((logout, refresh), ()) = tokio::join!(log_out_and_refresh, release);

    logout.ok(200);
    // PostgreSQL lets either of the two have the row first. The session ends in any case.
    assert!(matches!(refresh.status, 200 | 401), "{refresh:?}");
    app.refresh(&first).await.problem(401);
    app.me_at(1, &first.access).await.problem(401);
    if refresh.status == 200 {
        app.me_at(1, &Session::from_answer(&refresh).access).await.problem(401);
    }
}

#[tokio::test]
async fn a_token_whose_row_is_deleted_is_a_reuse_too() {
    let app = App::start().await;
    let (user, first) = app.new_session("forgotten").await;
    let second = refreshed(&app, &first).await;
    let forget = "DELETE FROM refresh_tokens WHERE rotated_at IS NOT NULL AND session_id IN \
                  (SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = $1)";
    assert_eq!(app.database.execute_for(forget, &user.username).await, 1);

    app.refresh(&first).await.problem(401);

    app.me(&second.access).await.problem(401);
    assert!(app.database.count(THEFTS, &user.username).await >= 1);
}

//! Clients that disconnect in the middle of a request, and requests that wait for a locked row: the connection to the
//! database that the request held serves others soon, and no transaction stays open.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, path};
use latchkey_tests::wait;
use serde_json::json;
use tokio::time::timeout;

/// More than there are connections.
const CROWD: usize = 60;

async fn wait_for_no_transaction(app: &App) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE $1
                 AND (state LIKE 'idle in transaction%' OR wait_event_type = 'Lock')";
    wait::until_equal("the number of open transactions", 0, || app.database.count(sql, "latchkey-server%"))
        .await;
}

#[tokio::test]
async fn cancelled_requests_that_wait_for_a_lock_give_their_connections_back() {
    let app = App::setup().timed().own_postgres().set("RATE_LIMITS_ENABLED", "false").start().await;
    let (user, session) = app.new_session("locked").await;
    let (_, other) = app.new_session("other").await;
    let mut holder = app.database.connect().await;
    sqlx::raw_sql("BEGIN; SELECT FROM users FOR UPDATE").execute(&mut holder).await.unwrap();

    let change = || {
        let request = app.server().request("PATCH", path::ME).bearer_auth(&session.access);
        timeout(Duration::from_millis(300), request.json(&json!({ "name": "Another Name" })).answer())
    };
    for answer in join_all((0..CROWD).map(|_| change())).await {
        assert!(answer.is_err(), "the row is locked: {answer:?}");
    }

    let begun = Instant::now();
    wait::until("another user to be served", || async {
        let asked = Instant::now();
        let answer = timeout(Duration::from_secs(20), app.me(&other.access)).await.unwrap();
        assert!(asked.elapsed() <= Duration::from_secs(3), "an answer took {:?}", asked.elapsed());
        wait::check(answer.status == 200, answer)
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(5), "others were served after {:?}", begun.elapsed());
    // The lock is still held: what waited for it gives up.
    wait_for_no_transaction(&app).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    app.log_in(&user).await;
    let name = app.me(&session.access).await.ok(200)["name"].clone();
    assert_eq!(name, "John Doe", "no request that was cancelled long before has been carried out");
}

#[tokio::test]
async fn requests_that_are_cancelled_at_any_moment_leave_nothing_behind() {
    let app = App::setup().timed().own_postgres().set("RATE_LIMITS_ENABLED", "false").start().await;
    let (user, session) = app.new_session("cancelled").await;
    for round in 0..40_u64 {
        let moment = Duration::from_micros(round * 400);
        let requests = (0..8).map(|_| {
            let change = app.server().request("PATCH", path::ME).bearer_auth(&session.access);
            let change = change.json(&json!({ "name": "John Doe" })).answer();
            let refresh = app.refresh(&session);
            async move { tokio::join!(timeout(moment, change), timeout(moment, refresh)) }
        });
        join_all(requests).await;
    }

    wait_for_no_transaction(&app).await;
    wait::until("every connection to be idle", || async {
        let open = app.server().metric("latchkey_database_connections", &["open"]).await;
        let idle = app.server().metric("latchkey_database_connections", &["idle"]).await;
        // The replica's own tasks may use one or two.
        wait::check(open - idle <= 2.0, (open, idle))
    })
    .await;
    let session = app.log_in(&user).await;
    let answers = join_all((0..CROWD).map(|_| app.me(&session.access))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
}

#[tokio::test]
async fn requests_that_wait_for_a_lock_are_answered_in_time_and_keep_their_connections() {
    let app = App::setup().timed().own_postgres().set("RATE_LIMITS_ENABLED", "false").start().await;
    let (user, session) = app.new_session("locked").await;
    let (_, other) = app.new_session("other").await;
    let mut holder = app.database.connect().await;
    sqlx::raw_sql("BEGIN; SELECT FROM users FOR UPDATE; SELECT FROM sessions FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();

    for _ in 0..4 {
        let requests = (0..5).map(|_| {
            let change = app.server().request("PATCH", path::ME).bearer_auth(&session.access);
            let change = change.json(&json!({ "name": "Another Name" })).answer();
            let (refresh, login) = (app.refresh(&session), app.post_login(&user.username, &user.password));
            async move {
                let begun = Instant::now();
                let answers = tokio::join!(change, refresh, login);
                (<[_; 3]>::from(answers), begun.elapsed())
            }
        });
        for (answers, took) in join_all(requests).await {
            for answer in answers {
                answer.problem(503);
                assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
            }
            assert!(took <= Duration::from_secs(5), "an answer took {took:?}");
        }
        app.me(&other.access).await.ok(200);
    }

    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE $1";
    let open = app.database.count(sql, "latchkey-server%").await;
    assert!(open <= 20, "{open} backends: those that wait have piled up");
    let log = app.server().log();
    assert!(!log.iter().any(|line| line.contains("did not answer in time")), "a lock is no silence");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    app.refresh(&session).await.ok(200);
    app.log_in(&user).await;
}

//! `latchkey-server sessions end-all`

use latchkey_tests::app::App;
use latchkey_tests::server::{Variables, run_command};
use latchkey_tests::wait;

#[tokio::test]
async fn all_tokens_are_refused_by_every_replica() {
    let app = App::setup().replicas(2).start().await;
    let (user, first) = app.new_session("restored").await;
    let mut sessions = vec![first];
    for _ in 0..4 {
        sessions.push(app.log_in(&user).await);
    }
    for replica in 0..2 {
        app.me_at(replica, &sessions[0].access).await.ok(200);
    }
    let variables = Variables::from([("DATABASE_URL".to_owned(), app.database.url())]);

    let output = run_command(&["sessions", "end-all"], &variables);

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for session in &sessions {
        for replica in 0..2 {
            app.me_at(replica, &session.access).await.problem(401);
            app.refresh_at(replica, session).await.problem(401);
        }
    }
    let open = "SELECT count(*) FROM sessions WHERE ended_at IS NULL AND $1 <> ''";
    assert_eq!(app.database.count(open, "any").await, 0);
    let message = String::from_utf8_lossy(&output.stdout);
    assert!(message.starts_with("5 sessions have ended") || message.starts_with("6 sessions"), "{message}");
    let audited = "SELECT count(*) FROM audit_events WHERE detail->>'accounts' = $1";
    assert_eq!(app.database.count(audited, "all").await, 1);

    let again = app.log_in(&user).await;
    app.me_at(1, &again.access).await.ok(200);
    app.refresh_at(1, &again).await.ok(200);
}

#[tokio::test]
async fn all_tokens_are_refused_without_redis() {
    let mut app = App::start().await;
    let (_, session) = app.new_session("restored").await;
    app.redis.stop();
    wait::until_equal("the status of /me", 200, || async { app.me(&session.access).await.status }).await;
    let variables = Variables::from([("DATABASE_URL".to_owned(), app.database.url())]);
    assert!(run_command(&["sessions", "end-all"], &variables).status.success());
    app.me(&session.access).await.problem(401);
}

#[tokio::test]
async fn a_locked_session_does_not_delay_the_others() {
    let app = App::start().await;
    let (user, in_use) = app.new_session("acting").await;
    let (_, other) = app.new_session("other").await;
    let mut held = app.database.connect().await;
    sqlx::query("BEGIN").execute(&mut held).await.unwrap();
    let sql = "SELECT FROM sessions WHERE user_id = $1 FOR SHARE";
    sqlx::query(sql).bind(user.id).execute(&mut held).await.unwrap();
    let variables = Variables::from([("DATABASE_URL".to_owned(), app.database.url())]);

    let command = tokio::task::spawn_blocking(move || run_command(&["sessions", "end-all"], &variables));
    let open = "SELECT count(*) FROM sessions WHERE ended_at IS NULL AND $1 <> ''";
    wait::until_equal("the number of open sessions", 1, || app.database.count(open, "any")).await;
    // The transaction that uses the session locks another one.
    sqlx::query("SELECT FROM sessions FOR UPDATE").execute(&mut held).await.unwrap();
    sqlx::query("COMMIT").execute(&mut held).await.unwrap();

    let output = command.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(app.database.count(open, "any").await, 0);
    for session in [in_use, other] {
        app.me(&session.access).await.problem(401);
    }
}

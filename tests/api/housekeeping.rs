//! Housekeeping deletes expired rows, but no row that strict revocation needs.

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, Setup, path};
use latchkey_tests::server::Server;
use latchkey_tests::smtp::Smtp;
use latchkey_tests::wait;
use serde_json::json;
use sqlx::Connection as _;

/// Waits for the end of a run, of which a replica starts one when it starts.
async fn wait_for_run(server: &Server, outcome: &str) {
    let label = format!("outcome=\"{outcome}\"");
    wait::until(&format!("a {outcome} run"), || async {
        let runs = server.metric("latchkey_housekeeping_runs_total", &[&label]).await;
        wait::check(runs > 0.0, runs)
    })
    .await;
}

/// Starts an app and waits for the end of its first run, which would delete rows of the test that are inserted earlier.
async fn start(setup: Setup) -> App {
    let app = setup.start().await;
    wait_for_run(app.server(), "completed").await;
    app
}

/// Runs the housekeeping of a replica again by restarting it.
async fn run_housekeeping(app: &mut App) {
    app.restart(0).await;
    wait_for_run(app.server(), "completed").await;
}

async fn deleted(app: &App, table: &str) -> f64 {
    app.server().metric("latchkey_housekeeping_deleted_total", &[&format!("table=\"{table}\"")]).await
}

/// Inserts rows of an account into each table, with a time in the past; `$1` is `USERNAME|INTERVAL`.
const ROWS: &str = "
    WITH owner AS (SELECT id FROM users WHERE username = split_part($1, '|', 1)),
         time AS (SELECT now() - split_part($1, '|', 2)::interval AS at),
         all_expired AS (
             INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at)
             SELECT gen_random_uuid(), id, at, at FROM owner, time RETURNING id),
         generations AS (
             INSERT INTO refresh_tokens (jti, session_id, expires_at)
             SELECT gen_random_uuid(), all_expired.id, at FROM all_expired, time),
         ended AS (
             INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at, ended_at)
             SELECT gen_random_uuid(), id, at, now() + interval '1 year', at - interval '1 day' FROM owner, time),
         revoked AS (
             INSERT INTO revocations (session_id, expires_at) SELECT gen_random_uuid(), at FROM time),
         tokens AS (
             INSERT INTO one_time_tokens (user_id, purpose, token_hash, expires_at)
             SELECT id, 'password_reset', decode(md5(random()::text), 'hex'), at FROM owner, time),
         audited AS (
             INSERT INTO audit_events (kind, user_id, at) SELECT 'login', id, at FROM owner, time),
         parked AS (
             INSERT INTO outbox (kind, recipient, dead_at) SELECT 'account_deleted', 'a@example.test', at FROM time)
    INSERT INTO devices (token_hash, user_id, last_used_at)
    SELECT decode(md5(random()::text), 'hex'), id, at FROM owner, time";

const COUNTS: &str = "
    SELECT format('sessions %s, refresh_tokens %s, revocations %s, one_time_tokens %s, old events %s, outbox %s, devices %s',
        (SELECT count(*) FROM sessions JOIN users ON users.id = user_id WHERE username = $1),
        (SELECT count(*) FROM refresh_tokens JOIN sessions ON sessions.id = session_id
                              JOIN users ON users.id = user_id WHERE username = $1),
        (SELECT count(*) FROM revocations), (SELECT count(*) FROM one_time_tokens),
        (SELECT count(*) FROM audit_events WHERE at < now() - interval '1 hour'),
        (SELECT count(*) FROM outbox), (SELECT count(*) FROM devices JOIN users ON users.id = user_id WHERE username = $1))";

#[tokio::test]
async fn only_expired_rows_are_deleted() {
    let mut app = start(App::setup().set("AUDIT_RETENTION_DAYS", "400")).await;
    let user = app.create_user("tidy").await;
    // Sessions, revocations and tokens are deleted an hour after they have expired.
    for (ago, left) in [
        (
            "30 minutes",
            "sessions 2, refresh_tokens 1, revocations 1, one_time_tokens 1, old events 0, outbox 1, devices 1",
        ),
        (
            "2 hours",
            "sessions 0, refresh_tokens 0, revocations 0, one_time_tokens 0, old events 1, outbox 1, devices 1",
        ),
        (
            "31 days",
            "sessions 0, refresh_tokens 0, revocations 0, one_time_tokens 0, old events 1, outbox 0, devices 1",
        ),
        (
            "366 days",
            "sessions 0, refresh_tokens 0, revocations 0, one_time_tokens 0, old events 1, outbox 0, devices 0",
        ),
        (
            "401 days",
            "sessions 0, refresh_tokens 0, revocations 0, one_time_tokens 0, old events 0, outbox 0, devices 0",
        ),
    ] {
        app.database.execute_for(ROWS, &format!("{}|{ago}", user.username)).await;
        run_housekeeping(&mut app).await;
        assert_eq!(app.database.text(COUNTS, &user.username).await, left, "of {ago} ago");
        app.database
            .execute(
                "WITH a AS (DELETE FROM sessions), b AS (DELETE FROM revocations), c AS (DELETE FROM outbox),
                      d AS (DELETE FROM one_time_tokens), e AS (DELETE FROM devices)
                 DELETE FROM audit_events WHERE at < now() - interval '10 minutes'",
            )
            .await;
    }
}

#[tokio::test]
async fn a_session_is_deleted_after_all_its_tokens_have_expired() {
    let mut app = start(App::setup()).await;
    let user = app.create_user("tokens").await;
    let sql = "INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at, ended_at)
               SELECT gen_random_uuid(), id, now() + access::interval, now() + refresh::interval, now() + ended::interval
               FROM users, (VALUES
                   ('1 day', '-2 days', NULL), ('-2 days', '1 day', NULL), ('1 day', '-2 days', '-3 days'),
                   -- Only these two are deleted.
                   ('-2 days', '-2 days', NULL), ('-2 days', '1 day', '-3 days')) AS expiry (access, refresh, ended)
               WHERE username = $1";
    assert_eq!(app.database.execute_for(sql, &user.username).await, 5);
    run_housekeeping(&mut app).await;
    let left = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id WHERE username = $1";
    assert_eq!(app.database.count(left, &user.username).await, 3);
    assert!((deleted(&app, "sessions").await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn a_revoked_session_remains_revoked_after_housekeeping() {
    let mut app = start(App::setup()).await;
    let (_, session) = app.new_session("revoked").await;
    app.log_out(&session).await.ok(200);
    // The session ended long ago, but its access token expires only in a day.
    app.database
        .execute(
            "WITH ended AS (
                 UPDATE sessions SET ended_at = now() - interval '6 days',
                        access_tokens_expire_at = now() + interval '1 day'
                 WHERE ended_at IS NOT NULL)
             UPDATE revocations
             SET revoked_at = now() - interval '6 days', expires_at = now() + interval '1 day'",
        )
        .await;

    run_housekeeping(&mut app).await;

    app.me(&session.access).await.problem(401);
    app.redis.flush().await;
    app.me(&session.access).await.problem(401);
    assert_eq!(app.database.count("SELECT count(*) FROM revocations WHERE $1 <> ''", "any").await, 1);
}

#[tokio::test]
async fn a_backlog_is_deleted_while_requests_are_served() {
    let mut app = start(App::setup()).await;
    let rows = 12_345;
    app.database
        .execute(
            "INSERT INTO audit_events (kind, at)
             SELECT 'login', now() - interval '3 years' FROM generate_series(1, 12345)",
        )
        .await;

    app.restart(0).await;
    let (_, session) = app.new_session("meanwhile").await;
    app.me(&session.access).await.ok(200);
    wait_for_run(app.server(), "completed").await;

    assert!((deleted(&app, "audit_events").await - f64::from(rows)).abs() < 0.1);
    let left = "SELECT count(*) FROM audit_events WHERE kind = $1 AND at < now() - interval '2 years'";
    assert_eq!(app.database.count(left, "login").await, 0);
}

#[tokio::test]
async fn a_locked_row_is_deleted_in_a_later_run() {
    let mut app = start(App::setup()).await;
    let user = app.create_user("held").await;
    app.database.execute_for(ROWS, &format!("{}|2 days", user.username)).await;
    let mut connection = app.database.connect().await;
    let mut holder = connection.begin().await.unwrap();
    sqlx::query("SELECT FROM sessions WHERE ended_at IS NULL AND expires_at < now() FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();

    run_housekeeping(&mut app).await;
    let left = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id WHERE username = $1";
    assert_eq!(app.database.count(left, &user.username).await, 1);

    holder.rollback().await.unwrap();
    run_housekeeping(&mut app).await;
    assert_eq!(app.database.count(left, &user.username).await, 0);
}

#[tokio::test]
async fn only_one_replica_runs_housekeeping_at_a_time() {
    let mut app = start(App::setup()).await;
    let user = app.create_user("one").await;
    app.database.execute_for(ROWS, &format!("{}|2 days", user.username)).await;
    let mut other = app.database.connect().await;
    sqlx::query("SELECT pg_advisory_lock(hashtext('latchkey.housekeeping'))")
        .execute(&mut other)
        .await
        .unwrap();

    app.restart(0).await;
    wait_for_run(app.server(), "skipped").await;
    let left = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id WHERE username = $1";
    assert_eq!(app.database.count(left, &user.username).await, 2);

    other.close().await.unwrap();
    // PostgreSQL releases the lock after the client has closed the connection.
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = $1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    wait::until_equal("the number of advisory locks", 0, || app.database.count(locks, "advisory")).await;
    run_housekeeping(&mut app).await;
    assert_eq!(app.database.count(left, &user.username).await, 0);
}

/// Makes an account as old as the longest time for which an unconfirmed one is kept, or a little less.
const AGE: &str = "UPDATE users SET created_at = now() - split_part($1, '|', 2)::interval
    WHERE username = split_part($1, '|', 1)";
const EXISTS: &str = "SELECT count(*) FROM users WHERE username = $1";

async fn register(app: &App, name: &str) {
    let body = json!({
        "username": name, "email": format!("{name}@example.test"), "name": "Registered",
        "password": "a good pass phrase",
    });
    app.post(path::REGISTER).json(&body).answer().await.ok(202);
}

#[tokio::test]
async fn an_account_that_was_registered_and_never_confirmed_expires() {
    let setup = App::setup()
        .mail(Smtp::Plain)
        .set("REGISTRATION_ENABLED", "true")
        .set("UNVERIFIED_ACCOUNT_RETENTION_DAYS", "3");
    let mut app = start(setup).await;
    register(&app, "squatter").await;
    register(&app, "verified").await;
    let token = app.mail().wait_for("verified@example.test", 1).await.remove(0).token();
    app.post(path::VERIFY_EMAIL).json(&json!({ "token": token })).answer().await.ok(200);
    // Neither verified nor used, but an administrator has created it.
    let created = app.create_user("created").await.username;
    app.database.execute_for("UPDATE users SET email_verified_at = NULL WHERE username = $1", &created).await;
    // A day for the link and three more.
    for name in ["squatter", "verified", &created] {
        assert_eq!(app.database.execute_for(AGE, &format!("{name}|95 hours")).await, 1);
    }
    run_housekeeping(&mut app).await;
    assert_eq!(app.database.count(EXISTS, "squatter").await, 1);
    for name in ["squatter", "verified", &created] {
        assert_eq!(app.database.execute_for(AGE, &format!("{name}|97 hours")).await, 1);
    }
    // Another e-mail extends nothing.
    let body = json!({"email": "squatter@example.test"});
    app.post(path::RESEND_VERIFICATION).json(&body).answer().await.ok(202);
    // An account whose link is being created is locked, and is left to the next run.
    app.mail().wait_for("squatter@example.test", 2).await;

    run_housekeeping(&mut app).await;

    assert_eq!(app.database.count(EXISTS, "squatter").await, 0);
    assert_eq!(app.database.count(EXISTS, "verified").await, 1);
    assert_eq!(app.database.count(EXISTS, &created).await, 1);
    assert!((deleted(&app, "users").await - 1.0).abs() < 0.1);
    let events = "SELECT string_agg(concat_ws(' ', outcome, actor_id, user_id IS NOT NULL), ', ')
        FROM audit_events WHERE kind = $1";
    assert_eq!(app.database.text(events, "registration_expired").await, "success t");
    // The names are free again.
    register(&app, "squatter").await;
    assert_eq!(app.database.count(EXISTS, "squatter").await, 1);
}

#[tokio::test]
async fn an_account_that_was_used_does_not_expire_although_its_address_is_not_verified() {
    let setup = App::setup()
        .mail(Smtp::Plain)
        .set("REGISTRATION_ENABLED", "true")
        .set("UNVERIFIED_LOGIN_ENABLED", "true");
    let mut app = start(setup).await;
    register(&app, "used").await;
    app.log_in_as("used", "a good pass phrase").await;
    // Neither the session nor the event of the login is kept that long.
    app.database.execute("DELETE FROM sessions").await;
    app.database.execute("DELETE FROM audit_events").await;
    assert_eq!(app.database.execute_for(AGE, "used|400 days").await, 1);
    run_housekeeping(&mut app).await;
    assert_eq!(app.database.count(EXISTS, "used").await, 1);
}

//! What one account may fill with successful logins.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::answer::{Answered, admitted};
use latchkey_tests::app::{App, path};
use latchkey_tests::link::Link;
use latchkey_tests::wait;

use super::{guess_until_refused, start};

const ACTIVE: &str = "SELECT count(*) FROM sessions WHERE ended_at IS NULL
    AND user_id = (SELECT id FROM users WHERE username = $1)";

#[tokio::test]
async fn an_account_logs_in_as_often_as_its_own_limit_allows() {
    let app = start(App::setup().set("RATE_LIMIT_LOGINS_PER_ACCOUNT", "60")).await;
    let user = app.create_user("eager").await;
    // A third of the half that the name has.
    for _ in 0..10 {
        app.post_login(&user.username, &user.password).await.ok(200);
    }

    let refused = app.post_login(&user.username, &user.password).await;

    refused.problem(429);
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=200).contains(&wait), "{wait}");
    assert!(app.server().metric("latchkey_rate_limited_total", &["login", "logins"]).await > 0.0);
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    app.post(path::TOKEN).form(&form).answer().await.problem(429);
    let device = format!("latchkey_device={}", "A".repeat(43));
    app.post(path::LOGIN).header("cookie", device).form(&form).answer().await.problem(429);
    // The address has a limit of its own, and another account is not concerned.
    app.post_login(&user.email, &user.password).await.ok(200);
    let other = app.create_user("other").await;
    app.log_in(&other).await;
}

#[tokio::test]
async fn wrong_passwords_use_up_no_logins() {
    let setup = App::setup().set("RATE_LIMIT_LOGINS_PER_ACCOUNT", "18").set("RATE_LIMIT_PER_ACCOUNT", "120");
    let app = start(setup).await;
    let user = app.create_user("mistyped").await;
    let device =
        app.post_login(&user.username, &user.password).await.cookie_named("latchkey_device").unwrap();
    let (guesses, _) = guess_until_refused(app.server(), &user.username).await;
    assert_eq!(guesses, 20);
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    for _ in 0..2 {
        app.post(path::LOGIN).header("cookie", &device[0]).form(&form).answer().await.ok(200);
    }
    app.post(path::LOGIN).header("cookie", &device[0]).form(&form).answer().await.problem(429);
}

#[tokio::test]
async fn the_oldest_session_ends_when_a_login_exceeds_the_limit() {
    let app = App::setup().replicas(2).set("SESSIONS_PER_ACCOUNT", "3").start().await;
    let (user, first) = app.new_session("many").await;
    let (_, other) = app.new_session("other").await;
    let mut later = Vec::new();
    for _ in 0..2 {
        later.push(app.log_in(&user).await);
    }
    app.me(&first.access).await.ok(200);

    later.push(app.log_in(&user).await);

    for replica in 0..2 {
        app.me_at(replica, &first.access).await.problem(401);
        app.refresh_at(replica, &first).await.problem(401);
        for session in later.iter().chain([&other]) {
            app.me_at(replica, &session.access).await.ok(200);
        }
    }
    let events = "SELECT string_agg(concat_ws(' ', outcome, actor_id, session_id IS NOT NULL, user_id, detail->>'reason', address), ', ')
        FROM audit_events WHERE kind = $1";
    let expected = format!("success t {} session_limit 127.0.0.1", user.id);
    assert_eq!(app.database.text(events, "session_ended").await, expected);
    let revoked =
        "SELECT count(*) FROM revocations JOIN sessions ON id = session_id WHERE sessions.user_id::text = $1";
    assert_eq!(app.database.count(revoked, &user.id.to_string()).await, 1);
}

#[tokio::test]
async fn concurrent_logins_and_a_lowered_limit_leave_no_more_sessions_than_allowed() {
    let mut app =
        App::setup().set("SESSIONS_PER_ACCOUNT", "10").set("RATE_LIMITS_ENABLED", "false").start().await;
    let user = app.create_user("parallel").await;
    let logins = (0..20).map(|_| admitted(|| app.post_login(&user.username, &user.password)));
    for answer in join_all(logins).await {
        answer.ok(200);
    }
    wait::until("the surplus sessions to end", || async {
        let active = app.database.count(ACTIVE, &user.username).await;
        if active == 10 { Ok(()) } else { Err(active) }
    })
    .await;

    app.variables.insert("SESSIONS_PER_ACCOUNT".to_owned(), "4".to_owned());
    app.restart(0).await;
    app.log_in(&user).await;
    assert_eq!(app.database.count(ACTIVE, &user.username).await, 4);
}

#[tokio::test]
async fn the_devices_of_an_account_are_bounded_and_the_one_in_use_stays() {
    let app = App::start().await;
    let user = app.create_user("collector").await;
    let old = "INSERT INTO devices (token_hash, user_id, last_used_at)
        SELECT sha256(n::text::bytea), id, now() - interval '1 day' FROM users, generate_series(1, 500) AS n
        WHERE username = $1";
    assert_eq!(app.database.execute_for(old, &user.username).await, 500);

    let device =
        app.post_login(&user.username, &user.password).await.cookie_named("latchkey_device").unwrap();

    let count = "SELECT count(*) FROM devices WHERE user_id = (SELECT id FROM users WHERE username = $1)";
    assert_eq!(app.database.count(count, &user.username).await, 100);
    let form = [("username", user.username.as_str()), ("password", user.password.as_str())];
    let again = app.post(path::LOGIN).header("cookie", &device[0]).form(&form).answer().await;
    again.ok(200);
    assert_eq!(again.cookie_named("latchkey_device"), None);
}

/// Sessions of one account that end with one request.
const CROWD: u64 = 20_000;

#[tokio::test]
async fn ending_twenty_thousand_sessions_keeps_the_trust_in_redis() {
    let mut app = App::setup().timed().replicas(2).start().await;
    let link = Link::slow(app.redis.port());
    app.variables.insert("REDIS_URL".to_owned(), app.redis.url_through(link.port()));
    app.restart(0).await;
    let (user, session) = app.new_session("crowd").await;
    let (_, other) = app.new_session("bystander").await;
    let sessions = "INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at)
        SELECT gen_random_uuid(), id, now() + interval '7 days', now() + interval '365 days'
        FROM users, generate_series(1, 20000) WHERE username = $1";
    assert_eq!(app.database.execute_for(sessions, &user.username).await, CROWD);
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }

    let end = async {
        let begun = Instant::now();
        app.post(path::LOGOUT_ALL).bearer_auth(&session.access).answer().await.ok(200);
        (Instant::now(), begun.elapsed())
    };
    let watch = async {
        let mut slowest = Duration::ZERO;
        // Beyond the answer: a withdrawal of trust takes effect within a second.
        for _ in 0..60 {
            let begun = Instant::now();
            app.me_at(1, &other.access).await.ok(200);
            slowest = slowest.max(begun.elapsed());
            tokio::task::yield_now().await;
        }
        slowest
    };
    let ((_, elapsed), slowest) = tokio::join!(end, watch);

    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    for server in &app.servers {
        let log = server.log();
        let lost =
            ["could not be written to a trusted Redis", "Redis is not used", "Redis lacks revocations"];
        let fault = log
            .iter()
            .rev()
            .take_while(|line| !line.contains("was refilled"))
            .find(|line| lost.iter().any(|text| line.contains(text)));
        assert_eq!(fault, None);
        assert_eq!(server.status().await["revocation"]["mode"], "redis");
    }
    app.me_at(0, &session.access).await.problem(401);
    // A server ends them one by one after the response.
    wait::until_equal("the active sessions", 0_i64, || app.database.count(ACTIVE, &user.username)).await;
    for server in &app.servers {
        assert_eq!(server.status().await["revocation"]["mode"], "redis");
    }
    app.me_at(0, &session.access).await.problem(401);
    app.me_at(1, &other.access).await.ok(200);
}

//! After the response to a logout, no replica accepts a token of its session, even if Redis has lost data since.

use std::time::Duration;

use futures::future::join_all;
use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, SUPERUSER, Session, path, superuser_password};
use latchkey_tests::forged_tokens::Forged;
use latchkey_tests::key_set;
use latchkey_tests::wait;
use tokio::time::Instant;

/// The time between two logouts of a steady stream.
const PACE: Duration = Duration::from_millis(40);

/// Two replicas, a session to log out, and another one that remains.
struct Case {
    app: App,
    out: Session,
    open: Session,
}

impl Case {
    async fn start() -> Self {
        let app = App::setup().replicas(2).start().await;
        let (_, out) = app.new_session("out").await;
        let (_, open) = app.new_session("open").await;
        for replica in 0..2 {
            app.me_at(replica, &out.access).await.ok(200);
            app.me_at(replica, &open.access).await.ok(200);
        }
        Self { app, out, open }
    }

    async fn log_out(&self) {
        self.app.log_out_at(0, &self.out).await.ok(200);
    }

    /// Asserts that every replica refuses the ended session and accepts the other one.
    async fn assert_strict(&self) {
        for replica in 0..self.app.servers.len() {
            self.app.me_at(replica, &self.out.access).await.problem(401);
            self.app.refresh_at(replica, &self.out).await.problem(401);
            self.app.me_at(replica, &self.open.access).await.ok(200);
        }
    }

    async fn wait_for_mode(&self, mode: &str) {
        for server in &self.app.servers {
            server.wait_for_revocation_mode(mode).await;
        }
    }

    /// Asserts the same now, and again after all replicas trust Redis.
    async fn assert_strict_until_redis_is_trusted(&self) {
        self.assert_strict().await;
        self.wait_for_mode("redis").await;
        self.assert_strict().await;
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_by_every_replica() {
    let case = Case::start().await;
    case.wait_for_mode("redis").await;
    case.log_out().await;
    case.assert_strict().await;
}

#[tokio::test]
async fn a_revoked_token_is_refused_after_redis_is_flushed() {
    let case = Case::start().await;
    case.log_out().await;

    case.app.redis.flush().await;
    case.assert_strict_until_redis_is_trusted().await;
    // The refilled Redis is flushed again.
    case.app.redis.flush().await;
    case.assert_strict().await;
}

#[tokio::test]
async fn a_logout_after_a_flush_takes_effect_on_every_replica() {
    let case = Case::start().await;
    case.app.redis.flush().await;
    case.log_out().await;
    case.assert_strict().await;
}

#[tokio::test]
async fn a_revoked_token_is_refused_while_redis_is_flushed_repeatedly() {
    let case = Case::start().await;
    for _ in 0..5 {
        let (_, session) = case.app.new_session("burst").await;
        let (logout, ()) = tokio::join!(case.app.log_out_at(0, &session), case.app.redis.flush());
        logout.ok(200);
        for replica in 0..2 {
            case.app.me_at(replica, &session.access).await.problem(401);
        }
        case.app.redis.flush().await;
        for replica in 0..2 {
            case.app.me_at(replica, &session.access).await.problem(401);
        }
    }
}

#[tokio::test]
async fn revocations_are_read_from_postgres_while_redis_is_stopped() {
    let mut case = Case::start().await;
    let (_, later) = case.app.new_session("later").await;
    case.log_out().await;

    case.app.redis.stop();
    case.assert_strict().await;
    case.wait_for_mode("postgres").await;
    case.assert_strict().await;

    // Sessions start, are refreshed and end as before.
    let refreshed = Session::from_answer(&case.app.refresh_at(1, &later).await);
    case.app.log_out_at(1, &refreshed).await.ok(200);
    case.app.me_at(0, &later.access).await.problem(401);
    let (_, new) = case.app.new_session("new").await;
    case.app.me_at(1, &new.access).await.ok(200);
    assert_eq!(case.app.servers[0].readiness().await.status, 200);
}

#[tokio::test]
async fn an_empty_redis_is_filled_before_it_is_trusted() {
    let mut case = Case::start().await;
    case.log_out().await;

    case.app.redis.stop();
    case.app.redis.start_again();
    case.assert_strict_until_redis_is_trusted().await;
}

#[tokio::test]
async fn a_redis_that_starts_with_old_data_is_not_trusted() {
    let mut case = Case::start().await;
    case.wait_for_mode("redis").await;
    case.app.redis.dump().await;
    case.log_out().await;

    case.app.redis.stop();
    case.app.redis.start_again();
    case.assert_strict_until_redis_is_trusted().await;
}

#[tokio::test]
async fn a_logout_during_an_outage_takes_effect_after_redis_restarts_with_old_data() {
    let mut case = Case::start().await;
    case.wait_for_mode("redis").await;
    case.app.redis.dump().await;
    case.app.redis.stop();
    case.log_out().await;

    case.app.redis.start_again();
    case.assert_strict_until_redis_is_trusted().await;
}

#[tokio::test]
async fn a_revoked_token_is_refused_after_a_restart_of_the_server() {
    let mut case = Case::start().await;
    case.log_out().await;

    case.app.restart(0).await;
    case.assert_strict().await;

    case.app.redis.flush().await;
    case.app.restart(1).await;
    case.assert_strict().await;
}

#[tokio::test]
async fn a_session_remains_valid_after_a_restart_of_the_server() {
    let mut case = Case::start().await;
    case.app.restart(0).await;
    case.app.me_at(0, &case.open.access).await.ok(200);
    case.app.refresh_at(0, &case.open).await.ok(200);
}

/// Starts sessions of one account without logging in, and returns their access tokens.
async fn open_sessions(app: &App) -> Vec<String> {
    let (user, session) = app.new_session("busy").await;
    let sessions = "INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at)
        SELECT gen_random_uuid(), id, now() + interval '7 days', now() + interval '1 year'
        FROM users, generate_series(1, 750) WHERE username = $1";
    assert_eq!(app.database.execute_for(sessions, &user.username).await, 750);
    let ids = "SELECT string_agg(sessions.id::text, ' ') FROM sessions JOIN users ON users.id = user_id
        WHERE username = $1";
    let ids = app.database.text(ids, &user.username).await;
    let pattern = Forged::from_token(&session.access);
    ids.split(' ').map(|id| pattern.clone().claim("sid", id).sign(key_set::of_this_process())).collect()
}

#[tokio::test]
async fn a_flushed_redis_is_trusted_again_during_a_stream_of_logouts() {
    let case = Case::start().await;
    case.wait_for_mode("redis").await;
    // As many as end within the deadline of a condition, however slow the machine is.
    let sessions = open_sessions(&case.app).await;
    case.app.redis.flush().await;

    let logouts = async {
        // A steady stream of 25 per second, regardless of the responses.
        let begun = Instant::now();
        let logouts = sessions.iter().zip(0_u32..).map(async |(access, number)| {
            tokio::time::sleep_until(begun + PACE * number).await;
            let server = &case.app.servers[usize::from(number % 2 == 1)];
            server.post(path::LOGOUT).bearer_auth(access).answer().await.ok(200);
        });
        join_all(logouts).await;
        "every session ended before Redis was trusted"
    };
    let trusted = async {
        // Only the check of a token detects the flush.
        case.app.me_at(0, &case.open.access).await.ok(200);
        case.app.server().wait_for_revocation_mode("postgres").await;
        case.wait_for_mode("redis").await;
        "Redis was trusted again"
    };
    let first = tokio::select! { first = logouts => first, first = trusted => first };
    assert_eq!(first, "Redis was trusted again");
}

#[tokio::test]
async fn tokens_of_an_earlier_database_are_refused() {
    // Its first account has an id that another account had before, possibly a superuser.
    let case = Case::start().await;
    let old = case.app.superuser().await.clone();
    let given = chrono::Utc::now().timestamp();
    // The times in a token are whole seconds.
    wait::until("the next second", || async {
        let now = chrono::Utc::now().timestamp();
        wait::check(now > given, now)
    })
    .await;
    case.app.database.execute("DROP SCHEMA public CASCADE").await;
    case.app.database.execute("CREATE SCHEMA public").await;
    // Like the probe of the kubelet.
    assert_eq!(case.app.server().readiness().await.status, 503);
    case.app.database.migrate();
    for server in &case.app.servers {
        server.wait_until_ready().await;
    }
    let new = case.app.log_in_as(SUPERUSER, &superuser_password()).await;
    case.wait_for_mode("redis").await;
    for replica in 0..case.app.servers.len() {
        let me = case.app.me_at(replica, &new.access).await.ok(200);
        assert_eq!(me["id"], 1);
        for before in [&old, &case.open, &case.out] {
            case.app.me_at(replica, &before.access).await.problem(401);
            case.app.refresh_at(replica, before).await.problem(401);
        }
    }
}

#[tokio::test]
async fn a_redis_that_may_evict_keys_is_not_trusted_until_it_is_filled_again() {
    let case = Case::start().await;
    case.wait_for_mode("redis").await;
    case.app.redis.set_eviction("allkeys-lru").await;
    case.wait_for_mode("postgres").await;
    for server in &case.app.servers {
        wait::until("the reason in /status", || async {
            let message = server.status().await["revocation"]["message"].clone();
            wait::check(message.as_str().is_some_and(|text| text.contains("noeviction")), message)
        })
        .await;
    }
    // Revocations are read from PostgreSQL instead.
    assert_eq!(case.app.server().readiness().await.status, 200);
    case.log_out().await;
    case.assert_strict().await;
    // It may have evicted revocations meanwhile although its marker remained.
    case.app.redis.set_eviction("noeviction").await;
    case.wait_for_mode("redis").await;
    case.assert_strict().await;
}

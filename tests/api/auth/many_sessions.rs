//! Ending all sessions of an account that has more than a request can end one by one: the response is in time, and no
//! replica accepts any of them after it.

use std::time::{Duration, Instant};

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, Setup, User, path};
use latchkey_tests::logs::secret;
use latchkey_tests::smtp::Smtp;
use latchkey_tests::wait;
use reqwest::RequestBuilder;
use serde_json::json;

/// The server gives up a request after this time.
const RESPONSE_DEADLINE: Duration = Duration::from_millis(4_800);

/// How long the background may take for the sessions of a deleted account.
const BACKGROUND: Duration = Duration::from_mins(2);

/// As many as the largest value of `SESSIONS_PER_ACCOUNT`.
const HUNDRED_THOUSAND: &str = "INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at)
    SELECT gen_random_uuid(), users.id, now() + interval '7 days', now() + interval '1 year'
    FROM users, generate_series(1, 100000) WHERE username = $1";
/// More than a request ends one by one.
const TWO_THOUSAND: &str = "INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at)
    SELECT gen_random_uuid(), users.id, now() + interval '7 days', now() + interval '1 year'
    FROM users, generate_series(1, 2000) WHERE username = $1";

/// An account with many sessions and two more, of which the first makes the request.
struct Case {
    app: App,
    user: User,
    session: Session,
    other: Session,
}

impl Case {
    async fn start(insert: &'static str) -> Self {
        Self::start_with(App::setup(), insert).await
    }

    async fn start_with(setup: Setup, insert: &'static str) -> Self {
        let app = setup.timed().replicas(2).start().await;
        let (user, session) = app.new_session("many").await;
        let other = app.log_in(&user).await;
        app.database.execute_for(insert, &user.username).await;
        let case = Self { app, user, session, other };
        case.wait_for_mode("redis").await;
        case
    }

    async fn wait_for_mode(&self, mode: &str) {
        for server in &self.app.servers {
            server.wait_for_revocation_mode(mode).await;
        }
    }

    fn log_out_everywhere(&self) -> RequestBuilder {
        self.app.post(path::LOGOUT_ALL).bearer_auth(&self.session.access)
    }

    /// Asserts that every replica refuses the other session, and the current one unless it is kept.
    async fn assert_ended(&self, current: u16) {
        for replica in 0..2 {
            self.app.me_at(replica, &self.other.access).await.problem(401);
            self.app.refresh_at(replica, &self.other).await.problem(401);
            let answer = self.app.me_at(replica, &self.session.access).await;
            assert_eq!(answer.status, current, "{answer:?}");
        }
    }

    async fn assert_ends_in_time(&self, request: RequestBuilder, current: u16) {
        let begun = Instant::now();
        let answer: Answer = request.answer().await;
        let took = begun.elapsed();
        assert_eq!(answer.status, 200, "{answer:?}");
        self.assert_ended(current).await;
        assert!(took < RESPONSE_DEADLINE, "{took:?}");
    }

    /// Waits until a server has ended them one by one.
    async fn wait_until_ended_one_by_one(&self) {
        wait::until("the sessions to be ended one by one", async || {
            let sql = "SELECT count(*) FROM session_cutoffs WHERE $1 <> ''";
            let left = self.app.database.count(sql, "x").await;
            wait::check(left == 0, left)
        })
        .await;
    }

    async fn active_sessions(&self) -> i64 {
        let sql = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id
                   WHERE username = $1 AND ended_at IS NULL";
        self.app.database.count(sql, &self.user.username).await
    }
}

#[tokio::test]
async fn a_hundred_thousand_end_in_time_with_a_logout_everywhere() {
    let case = Case::start(HUNDRED_THOUSAND).await;
    case.assert_ends_in_time(case.log_out_everywhere(), 401).await;
    // The account is not blocked, neither now nor when the sessions have been ended one by one.
    let session = case.app.log_in(&case.user).await;
    let list = async || {
        let answer = case.app.get(path::SESSIONS).bearer_auth(&session.access).answer().await;
        answer.ok(200)["sessions"].as_array().unwrap().len()
    };
    assert_eq!(list().await, 1);
    case.wait_until_ended_one_by_one().await;
    assert_eq!((list().await, case.active_sessions().await), (1, 1));
    case.assert_ended(401).await;
    for replica in 0..2 {
        case.app.me_at(replica, &session.access).await.ok(200);
    }
}

#[tokio::test]
async fn a_hundred_thousand_end_in_time_with_a_deactivation() {
    let case = Case::start(HUNDRED_THOUSAND).await;
    let administrator = case.app.superuser().await;
    let path = format!("{}/{}", path::USERS, case.user.id);
    let request = case.app.server().request("PATCH", &path).bearer_auth(&administrator.access);
    case.assert_ends_in_time(request.json(&json!({ "is_active": false })), 401).await;
}

#[tokio::test]
async fn a_change_of_the_password_keeps_the_current_one() {
    let case = Case::start(TWO_THOUSAND).await;
    let form = json!({ "current_password": case.user.password, "new_password": secret("new") });
    let request = case.app.post(path::MY_PASSWORD).bearer_auth(&case.session.access).json(&form);
    case.assert_ends_in_time(request, 200).await;
    case.wait_until_ended_one_by_one().await;
    case.assert_ended(200).await;
    assert_eq!(case.active_sessions().await, 1);
    // Of the same account: the other sessions have ended one by one, and this is ended like any other.
    case.app.log_out(&case.session).await.ok(200);
    case.assert_ended(401).await;
}

#[tokio::test]
async fn they_stay_ended_while_redis_is_flushed_or_away() {
    let mut case = Case::start(TWO_THOUSAND).await;
    case.assert_ends_in_time(case.log_out_everywhere(), 401).await;
    for _ in 0..3 {
        case.app.redis.flush().await;
        case.assert_ended(401).await;
        case.wait_for_mode("redis").await;
        case.assert_ended(401).await;
    }
    case.app.restart(1).await;
    case.assert_ended(401).await;
}

#[tokio::test]
async fn a_redis_that_is_down_does_not_delay_their_end() {
    let mut case = Case::start(TWO_THOUSAND).await;
    case.app.redis.stop();
    case.assert_ends_in_time(case.log_out_everywhere(), 401).await;
    case.app.redis.start_again();
    case.wait_for_mode("redis").await;
    case.assert_ended(401).await;
}

#[tokio::test]
async fn an_end_that_nobody_announced_is_found() {
    let case = Case::start(TWO_THOUSAND).await;
    // What a replica commits before it ends unexpectedly.
    let cutoff = "INSERT INTO session_cutoffs (user_id, cutoff)
                  SELECT id, clock_timestamp() FROM users WHERE username = $1";
    assert_eq!(case.app.database.execute_for(cutoff, &case.user.username).await, 1);
    for replica in 0..2 {
        wait::until("the token to be refused", async || {
            let status = case.app.me_at(replica, &case.other.access).await.status;
            wait::check(status == 401, status)
        })
        .await;
    }
    case.wait_until_ended_one_by_one().await;
    case.assert_ended(401).await;
}

#[tokio::test]
async fn they_are_ended_one_by_one_while_an_older_server_is_connected() {
    let case = Case::start(TWO_THOUSAND).await;
    let older = case.app.database.begin("SET application_name = 'latchkey-server/6/0a1b2c3d'").await;
    case.assert_ends_in_time(case.log_out_everywhere(), 401).await;
    assert_eq!(case.active_sessions().await, 0);
    drop(older);
}

/// The refresh tokens of these sessions, and ended sessions.
const TOKENS_AND_ENDED: [&str; 2] = [
    "INSERT INTO refresh_tokens (jti, session_id, expires_at)
     SELECT gen_random_uuid(), sessions.id, sessions.expires_at
     FROM sessions JOIN users ON users.id = user_id WHERE username = $1
     ON CONFLICT DO NOTHING",
    "INSERT INTO sessions (id, user_id, access_tokens_expire_at, expires_at, ended_at)
     SELECT gen_random_uuid(), users.id, now() + interval '7 days', now() + interval '1 year', now()
     FROM users, generate_series(1, 20000) WHERE username = $1",
];

impl Case {
    /// The case of an account that is deleted.
    async fn start_deletion(setup: Setup) -> Self {
        let case = Self::start_with(setup, HUNDRED_THOUSAND).await;
        for sql in TOKENS_AND_ENDED {
            case.app.database.execute_for(sql, &case.user.username).await;
        }
        case
    }

    /// Asserts that the account is deleted in time with its name, and then its sessions.
    async fn assert_deletes_in_time(&self, request: RequestBuilder) {
        let begun = Instant::now();
        let answer: Answer = request.answer().await;
        let took = begun.elapsed();
        assert_eq!(answer.status, 204, "{answer:?}");
        for replica in 0..2 {
            for session in [&self.session, &self.other] {
                // This endpoint does not read the account, so the session itself must have ended.
                let verify = self.app.servers[replica].get(path::VERIFY).bearer_auth(&session.access);
                verify.answer().await.problem(401);
                self.app.refresh_at(replica, session).await.problem(401);
            }
        }
        assert!(took < RESPONSE_DEADLINE, "{took:?}");
        let again = self.app.create_user(&self.user.username).await;
        assert_ne!(again.id, self.user.id);
        let left = "SELECT count(*) FROM sessions WHERE user_id = $1::bigint";
        let id = self.id();
        wait::until_within(
            BACKGROUND,
            Duration::from_millis(200),
            "the sessions to be deleted",
            async || {
                let count = self.app.database.count(left, &id).await;
                wait::check(count == 0, count)
            },
        )
        .await;
        self.wait_until_ended_one_by_one().await;
        for table in ["devices", "one_time_tokens", "outbox"] {
            let sql = match table {
                "devices" => "SELECT count(*) FROM devices WHERE user_id = $1::bigint",
                "one_time_tokens" => "SELECT count(*) FROM one_time_tokens WHERE user_id = $1::bigint",
                _ => "SELECT count(*) FROM outbox WHERE user_id = $1::bigint",
            };
            assert_eq!(self.app.database.count(sql, &self.id()).await, 0, "{table}");
        }
        let tokens = "SELECT count(*) FROM refresh_tokens
                      WHERE NOT EXISTS (SELECT FROM sessions WHERE id = session_id) AND $1 <> ''";
        assert_eq!(self.app.database.count(tokens, "x").await, 0);
        // The revocations outlive the sessions.
        for replica in 0..2 {
            let verify = self.app.servers[replica].get(path::VERIFY).bearer_auth(&self.other.access);
            verify.answer().await.problem(401);
        }
        let revoked = "SELECT count(*) FROM revocations WHERE user_id = $1::bigint";
        assert_eq!(self.app.database.count(revoked, &self.id()).await, 100_002);
    }

    fn id(&self) -> String {
        self.user.id.to_string()
    }
}

#[tokio::test]
async fn an_account_with_a_hundred_thousand_is_deleted_in_time_by_a_superuser() {
    let case = Case::start_deletion(App::setup()).await;
    let administrator = case.app.superuser().await;
    let path = format!("{}/{}", path::USERS, case.user.id);
    let request = case.app.server().request("DELETE", &path).bearer_auth(&administrator.access);
    case.assert_deletes_in_time(request).await;
}

#[tokio::test]
async fn an_account_with_a_hundred_thousand_is_deleted_in_time_by_its_owner() {
    let case = Case::start_deletion(App::setup().set("ACCOUNT_DELETION_ENABLED", "true")).await;
    let request = case.app.server().request("DELETE", path::ME).bearer_auth(&case.session.access);
    case.assert_deletes_in_time(request.json(&json!({ "password": case.user.password }))).await;
}

#[tokio::test]
async fn a_hundred_thousand_end_in_time_with_a_reset_of_the_password() {
    let case = Case::start_with(App::setup().mail(Smtp::Plain), HUNDRED_THOUSAND).await;
    case.app.post(&format!("{}/{}", path::RECOVERY, case.user.email)).answer().await.ok(200);
    let token = case.app.mail().wait_for(&case.user.email, 1).await[0].token();
    let form = json!({ "token": token, "new_password": secret("new") });
    case.assert_ends_in_time(case.app.post(path::RESET).json(&form), 401).await;
}

#[tokio::test]
async fn a_refused_refresh_announces_a_cutoff_that_nobody_announced() {
    let case = Case::start(TWO_THOUSAND).await;
    // What a replica commits before it ends unexpectedly.
    let cutoff = "INSERT INTO session_cutoffs (user_id, cutoff)
                  SELECT id, clock_timestamp() FROM users WHERE username = $1";
    assert_eq!(case.app.database.execute_for(cutoff, &case.user.username).await, 1);
    case.app.refresh_at(0, &case.other).await.problem(401);
    case.app.me_at(1, &case.other.access).await.problem(401);
}

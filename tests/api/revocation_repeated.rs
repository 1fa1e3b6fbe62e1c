//! Requests that end sessions and are repeated: after a crash between the commit and the announcement, the repeated request
//! is answered only when every replica knows of the end. Ends that every replica knows are not announced again.

use latchkey_tests::answer::{Answer, Answered};
use latchkey_tests::app::{App, Session, Setup, User, path};
use latchkey_tests::forged_tokens;
use latchkey_tests::link::Link;
use latchkey_tests::logs::secret;
use latchkey_tests::server::Server;
use latchkey_tests::smtp::Smtp;
use latchkey_tests::wait;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::auth::clients::{CLIENT_ID, CLIENT_SECRET, with_client};

/// Three replicas: one that crashes, one without Redis, and one that trusts Redis.
struct Case {
    app: App,
    /// To Redis, for the first two.
    links: [Link; 2],
}

const CRASHES: usize = 0;
const WITHOUT_REDIS: usize = 1;
const TRUSTS_REDIS: usize = 2;

fn id_of(session: &Session) -> String {
    forged_tokens::claim(&session.access, "sid").as_str().unwrap().to_owned()
}

impl Case {
    async fn start(setup: Setup) -> Self {
        let mut app = setup.start().await;
        let links = [Link::to(app.redis.port()), Link::to(app.redis.port())];
        let direct = app.variables.clone();
        for link in &links {
            app.variables.insert("REDIS_URL".to_owned(), app.redis.url_through(link.port()));
            let server = Server::start(&app.variables).await;
            server.wait_until_ready().await;
            app.servers.insert(app.servers.len() - 1, server);
        }
        app.variables = direct;
        let case = Self { app, links };
        case.links[WITHOUT_REDIS].cut();
        case.wait_for_modes().await;
        case
    }

    async fn wait_for_modes(&self) {
        for (replica, mode) in [(CRASHES, "redis"), (WITHOUT_REDIS, "postgres"), (TRUSTS_REDIS, "redis")] {
            self.app.servers[replica].wait_for_revocation_mode(mode).await;
        }
    }

    /// The status of a request that reads nothing but the revocation of the token.
    async fn verify_at(&self, replica: usize, session: &Session) -> u16 {
        self.app.servers[replica].get(path::VERIFY).bearer_auth(&session.access).answer().await.status
    }

    /// Sends the request to a replica that crashes after the commit, and then to the one without Redis. Asserts that the
    /// replica that trusts Redis accepts none of the sessions after the second answer, which it returns.
    async fn repeat(&mut self, request: impl Fn(&Server) -> RequestBuilder, ended: &[&Session]) -> Answer {
        for session in ended {
            assert_eq!(self.verify_at(TRUSTS_REDIS, session).await, 200);
        }
        let before = trusted(&self.app).await;
        // Redis becomes silent while the transaction waits for a lock, so that the commit is not announced.
        let database = &self.app.database;
        let mut holder = database.begin("SELECT FROM users FOR UPDATE").await;
        sqlx::query("SELECT FROM sessions FOR UPDATE").execute(&mut holder).await.unwrap();
        let first = tokio::spawn(request(&self.app.servers[CRASHES]).send());
        database.wait_until_blocked(1).await;
        self.links[CRASHES].hold_requests();
        sqlx::query("ROLLBACK").execute(&mut holder).await.unwrap();
        let committed = "SELECT count(*) FROM revocations WHERE session_id::text = $1";
        wait::until_equal("the number of revocations", 1, || {
            let key = id_of(ended[0]);
            let database = &self.app.database;
            async move { database.count(committed, &key).await }
        })
        .await;
        self.app.servers[CRASHES].kill();
        let lost = first.await.unwrap();
        assert!(lost.is_err(), "the replica has answered before it crashed: {lost:?}");

        let answer = request(&self.app.servers[WITHOUT_REDIS]).answer().await;
        // For deleted accounts, whose tokens no endpoint accepts in any case.
        let keys = self.app.redis.keys().await;
        let is_known = ended.iter().all(|session| keys.iter().any(|key| key.ends_with(&id_of(session))));
        assert!(is_known || trusted(&self.app).await != before, "not announced before {answer:?}");
        for session in ended {
            for replica in [TRUSTS_REDIS, WITHOUT_REDIS] {
                assert_eq!(self.verify_at(replica, session).await, 401, "replica {replica} after {answer:?}");
            }
        }
        answer
    }

    async fn new_session(&self, name: &str) -> (User, Session) {
        self.app.new_session(name).await
    }
}

#[tokio::test]
async fn a_repeated_logout() {
    let mut case = Case::start(App::setup()).await;
    let (_, session) = case.new_session("john").await;
    let request = |server: &Server| server.post(path::LOGOUT).bearer_auth(&session.access);
    case.repeat(request, &[&session]).await.problem(401);
}

#[tokio::test]
async fn a_repeated_logout_everywhere() {
    let mut case = Case::start(App::setup()).await;
    let (user, session) = case.new_session("john").await;
    let other = case.app.log_in(&user).await;
    let request = |server: &Server| server.post(path::LOGOUT_ALL).bearer_auth(&session.access);
    case.repeat(request, &[&session, &other]).await.problem(401);
}

#[tokio::test]
async fn a_repeated_end_of_the_current_or_another_session() {
    let mut case = Case::start(App::setup()).await;
    let (user, session) = case.new_session("john").await;
    let path = format!("{}/{}", path::SESSIONS, id_of(&session));
    let request = |server: &Server| server.request("DELETE", &path).bearer_auth(&session.access);
    case.repeat(request, &[&session]).await.problem(401);

    case.app.servers[CRASHES] = {
        case.links[CRASHES].mend();
        let mut variables = case.app.variables.clone();
        variables.insert("REDIS_URL".to_owned(), case.app.redis.url_through(case.links[CRASHES].port()));
        Server::start(&variables).await
    };
    case.wait_for_modes().await;
    let session = case.app.log_in(&user).await;
    let other = case.app.log_in(&user).await;
    let path = format!("{}/{}", path::SESSIONS, id_of(&other));
    let request = |server: &Server| server.request("DELETE", &path).bearer_auth(&session.access);
    let answer = case.repeat(request, &[&other]).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[tokio::test]
async fn a_repeated_change_of_the_password() {
    let mut case = Case::start(App::setup()).await;
    let (user, session) = case.new_session("john").await;
    let other = case.app.log_in(&user).await;
    let form = json!({ "current_password": user.password, "new_password": secret("another one") });
    let request = |server: &Server| server.post(path::MY_PASSWORD).bearer_auth(&session.access).json(&form);
    case.repeat(request, &[&other]).await.problem(422);
    assert_eq!(case.verify_at(TRUSTS_REDIS, &session).await, 200);
}

#[tokio::test]
async fn a_repeated_reset_of_the_password() {
    let mut case = Case::start(App::setup().mail(Smtp::Plain)).await;
    let (user, session) = case.new_session("john").await;
    case.app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let token = case.app.mail().wait_for(&user.email, 1).await[0].token();
    let form = json!({ "token": token, "new_password": secret("another one") });
    let request = |server: &Server| server.post(path::RESET).json(&form);
    case.repeat(request, &[&session]).await.problem(422);
}

#[tokio::test]
async fn a_repeated_deletion_of_the_own_account() {
    let mut case = Case::start(App::setup().set("ACCOUNT_DELETION_ENABLED", "true")).await;
    let (user, session) = case.new_session("john").await;
    let other = case.app.log_in(&user).await;
    let form = json!({ "password": user.password });
    let request =
        |server: &Server| server.request("DELETE", path::ME).bearer_auth(&session.access).json(&form);
    case.repeat(request, &[&session, &other]).await.problem(401);
}

#[tokio::test]
async fn a_repeated_deletion_by_a_superuser() {
    let mut case = Case::start(App::setup()).await;
    let administrator = case.app.superuser().await.clone();
    let (user, session) = case.new_session("john").await;
    let path = format!("{}/{}", path::USERS, user.id);
    let request = |server: &Server| server.request("DELETE", &path).bearer_auth(&administrator.access);
    case.repeat(request, &[&session]).await.problem(404);
}

#[tokio::test]
async fn a_repeated_deactivation_by_a_superuser() {
    let mut case = Case::start(App::setup()).await;
    let administrator = case.app.superuser().await.clone();
    let (user, session) = case.new_session("john").await;
    let path = format!("{}/{}", path::USERS, user.id);
    let form = json!({ "is_active": false });
    let request =
        |server: &Server| server.request("PATCH", &path).bearer_auth(&administrator.access).json(&form);
    case.repeat(request, &[&session]).await.ok(200);
}

#[tokio::test]
async fn a_repeated_revocation_of_the_own_token_by_a_superuser() {
    let mut case = Case::start(App::setup()).await;
    let administrator = case.app.superuser().await.clone();
    let form = [("token", administrator.access.as_str())];
    let request = |server: &Server| server.post(path::REVOKE).bearer_auth(&administrator.access).form(&form);
    assert_eq!(case.repeat(request, &[&administrator]).await.status, 401);
}

/// The trusted copy, by PostgreSQL's record.
async fn trusted(app: &App) -> String {
    let sql =
        "SELECT coalesce(redis_epoch, 'none') || ' ' || changed_at FROM revocation_state WHERE $1 <> ''";
    app.database.text(sql, "x").await
}

#[tokio::test]
async fn the_owner_of_old_tokens_cannot_take_redis_away_from_all_replicas() {
    let case = Case::start(with_client()).await;
    let app = &case.app;
    let (user, session) = case.new_session("john").await;
    let (_, other) = case.new_session("jane").await;
    app.log_out_at(TRUSTS_REDIS, &session).await.ok(200);
    let old = "UPDATE revocations SET revoked_at = now() - interval '1 hour' WHERE session_id::text = $1";
    assert_eq!(app.database.execute_for(old, &id_of(&session)).await, 1);
    let old = "UPDATE sessions SET ended_at = now() - interval '1 hour' WHERE id::text = $1";
    assert_eq!(app.database.execute_for(old, &id_of(&session)).await, 1);
    case.wait_for_modes().await;
    let before = trusted(app).await;

    let server = &app.servers[WITHOUT_REDIS];
    let path = format!("{}/{}", path::SESSIONS, id_of(&session));
    let password = json!({ "current_password": user.password, "new_password": secret("another one") });
    for _ in 0..2 {
        app.refresh_at(WITHOUT_REDIS, &session).await.problem(401);
        let form = [("grant_type", "refresh_token"), ("refresh_token", &session.refresh)];
        assert_eq!(server.post(path::TOKEN).form(&form).answer().await.status, 400);
        app.log_out_at(WITHOUT_REDIS, &session).await.problem(401);
        for request in [
            server.post(path::LOGOUT_ALL),
            server.request("DELETE", &path),
            server.post(path::MY_PASSWORD).json(&password),
        ] {
            request.bearer_auth(&session.access).answer().await.problem(401);
        }
        for token in [&session.access, &session.refresh] {
            let request = server.post(path::REVOKE).basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
            assert_eq!(request.form(&[("token", token)]).answer().await.status, 200);
        }
    }

    assert_eq!(trusted(app).await, before);
    app.me_at(TRUSTS_REDIS, &other.access).await.ok(200);
    assert_eq!(app.servers[TRUSTS_REDIS].status().await["revocation"]["mode"], "redis");
}

#[tokio::test]
async fn nothing_delays_the_announcement_of_a_reset() {
    let app = App::setup().mail(Smtp::Plain).replicas(2).start().await;
    let (user, session) = app.new_session("john").await;
    app.post(&format!("{}/{}", path::RECOVERY, user.email)).answer().await.ok(200);
    let token = app.mail().wait_for(&user.email, 1).await[0].token();
    for server in &app.servers {
        server.wait_for_revocation_mode("redis").await;
    }
    // More devices than are remembered, and a database that does not delete them.
    let devices = "INSERT INTO devices (token_hash, user_id)
                   SELECT sha256(n::text::bytea), users.id FROM users, generate_series(1, 100) AS n WHERE username = $1";
    assert_eq!(app.database.execute_for(devices, &user.username).await, 100);
    for sql in [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_sleep(3); RAISE disk_full; END'",
        "CREATE TRIGGER refuse BEFORE DELETE ON devices FOR EACH ROW EXECUTE FUNCTION refuse()",
    ] {
        app.database.execute(sql).await;
    }
    let form = json!({ "token": token, "new_password": secret("another one") });
    app.post(path::RESET).json(&form).answer().await.ok(200);
    app.me_at(1, &session.access).await.problem(401);
}

//! A failover of PostgreSQL to a standby, with a URL that names both servers.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::answer::Answered as _;
use latchkey_tests::app::{App, Session, path};
use latchkey_tests::link::Link;
use latchkey_tests::postgres::{Database, Postgres};
use latchkey_tests::wait;
use serde_json::json;

/// A primary and a standby.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    /// At the primary.
    database: Database,
}

impl Pair {
    async fn start() -> Self {
        let primary = Postgres::start();
        let database = primary.create_database().await;
        let standby = primary.start_standby();
        Self { primary, standby, database }
    }

    /// The URL of both, with the server that is the standby at first in front.
    fn url(&self) -> String {
        let (before, after) =
            self.database.url().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let standby = format!("127.0.0.1:{}", self.standby.port());
        format!("{before}@{standby},{after}?target_session_attrs=read-write")
    }

    fn copy(&self) -> Database {
        self.database.by_port(self.standby.port())
    }

    /// Waits until the standby has everything.
    async fn wait_for_replay(&self) {
        // Commits of the tests are asynchronous: what is not written yet counts too.
        let position = self.database.text("SELECT pg_current_wal_insert_lsn()::text || $1", "").await;
        let copy = self.copy();
        wait::until("the standby to replay everything", || async {
            let sql = "SELECT (pg_last_wal_replay_lsn() >= $1::pg_lsn)::text";
            let replayed = copy.text(sql, &position).await;
            wait::check(replayed == "true", replayed)
        })
        .await;
    }

    fn fail_over(&mut self) {
        self.primary.crash();
        self.standby.promote();
    }
}

/// Asserts that no replica accepts the tokens of the session. While the database is away, they may be unable to tell.
async fn assert_over(app: &App, session: &Session, when: &str) {
    for replica in 0..app.servers.len() {
        for answer in [app.me_at(replica, &session.access).await, app.refresh_at(replica, session).await] {
            assert!(matches!(answer.status, 401 | 503), "{when}: {answer:?}");
        }
    }
}

async fn assert_refused(app: &App, session: &Session, when: &str) {
    for replica in 0..app.servers.len() {
        assert_eq!(app.me_at(replica, &session.access).await.status, 401, "access token {when}");
        assert_eq!(app.refresh_at(replica, session).await.status, 401, "refresh token {when}");
    }
}

async fn wait_until_ready(app: &App) {
    for server in &app.servers {
        server.wait_until_ready().await;
        server.wait_for_revocation_mode("redis").await;
    }
}

#[tokio::test]
async fn an_ended_session_does_not_come_back_when_the_standby_lost_its_end() {
    let mut pair = Pair::start().await;
    let mut app = App::setup()
        .replicas(2)
        .set("DATABASE_URL", &pair.url())
        .set("RATE_LIMITS_ENABLED", "false")
        .start()
        .await;
    wait_until_ready(&app).await;
    let (user, open) = app.new_session("open").await;
    let (_, early) = app.new_session("early").await;
    app.log_out(&early).await.ok(200);
    let at_standby = Sessions::begin(&app, &pair).await;

    pair.standby.detach().await;
    let ended = at_standby.end(&app).await;
    let lost_login = app.log_in(&user).await;
    pair.fail_over();

    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        join_all(ended.iter().map(|(how, session)| assert_over(&app, session, how))).await;
    }
    wait_until_ready(&app).await;
    for (how, session) in &ended {
        assert_refused(&app, session, &format!("after a {how} and a failover")).await;
    }
    assert_refused(&app, &early, "of a session that ended before").await;
    app.me_at(1, &open.access).await.ok(200);

    // A session of a login that was lost can be ended like any other.
    app.log_out(&lost_login).await.ok(200);
    assert_refused(&app, &lost_login, "of a lost login").await;

    // The database knows the ends again: without Redis they are still known, and a new copy has them.
    app.redis.stop();
    for (how, session) in &ended {
        assert_over(&app, session, how).await;
    }
    app.redis.start_again();
    wait_until_ready(&app).await;
    for (how, session) in ended.iter().chain([&("lost login", lost_login)]) {
        assert_refused(&app, session, &format!("after a {how} and the loss of Redis")).await;
    }
    let answer = app.refresh(&open).await;
    answer.ok(200);
    app.restart(0).await;
    app.log_in(&user).await;
}

#[tokio::test]
async fn servers_that_start_after_a_failover_know_the_ends_that_it_lost() {
    let mut pair = Pair::start().await;
    // An address that moves to the new primary, as operators of PostgreSQL have.
    let link = Link::to(pair.primary.port());
    let mut app = App::setup()
        .set("DATABASE_URL", &pair.database.by_port(link.port()).url())
        .set("RATE_LIMITS_ENABLED", "false")
        .start()
        .await;
    wait_until_ready(&app).await;
    let at_standby = Sessions::begin(&app, &pair).await;
    pair.standby.detach().await;
    let ended = at_standby.end(&app).await;
    app.servers[0].kill();
    pair.fail_over();
    link.lead_to(pair.standby.port());
    app.restart(0).await;
    wait_until_ready(&app).await;
    for (how, session) in &ended {
        assert_refused(&app, session, how).await;
    }
    wait::until_equal("the active sessions that had ended", 0, || async {
        let sql = "SELECT count(*) FROM sessions JOIN users ON users.id = user_id
                   WHERE ended_at IS NULL AND username LIKE $1";
        pair.copy().count(sql, "lost.%").await
    })
    .await;
    app.redis.stop();
    app.redis.start_again();
    wait_until_ready(&app).await;
    for (how, session) in &ended {
        assert_refused(&app, session, how).await;
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_with_synchronous_replication() {
    let mut pair = Pair::start().await;
    for sql in [
        "ALTER ROLE latchkey SET synchronous_commit = on",
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    ] {
        pair.database.execute(sql).await;
    }
    let app = App::setup().set("DATABASE_URL", &pair.url()).set("RATE_LIMITS_ENABLED", "false").start().await;
    wait_until_ready(&app).await;
    let mut ended = Vec::new();
    let mut open = Vec::new();
    for number in 0..6 {
        let (user, session) = app.new_session(&format!("sync{number}")).await;
        if number % 2 == 0 {
            app.log_out(&session).await.ok(200);
            ended.push(session);
        } else {
            let refreshed = app.refresh(&session).await;
            refreshed.ok(200);
            open.push((user, Session::from_answer(&refreshed)));
        }
    }
    // Without the standby nothing is acknowledged.
    pair.standby.detach().await;
    let (user, session) = open.pop().unwrap();
    app.post_login(&user.username, &user.password).await.problem(503);
    app.log_out(&session).await.problem(503);

    pair.fail_over();

    wait_until_ready(&app).await;
    for session in &ended {
        assert_refused(&app, session, "after a failover").await;
    }
    for (user, session) in &open {
        app.me(&session.access).await.ok(200);
        app.refresh(session).await.ok(200);
        app.log_in(user).await;
    }
}

/// Sessions that the standby knows.
struct Sessions(Vec<(latchkey_tests::app::User, Session)>);

impl Sessions {
    async fn begin(app: &App, pair: &Pair) -> Self {
        let mut sessions = Vec::new();
        for name in [
            "lost.logout",
            "lost.all",
            "lost.password",
            "lost.deactivation",
            "lost.deletion",
            "lost.revocation",
        ] {
            sessions.push(app.new_session(name).await);
        }
        pair.wait_for_replay().await;
        Self(sessions)
    }

    /// Ends each in another way.
    async fn end(self, app: &App) -> Vec<(&'static str, Session)> {
        let root = app.superuser().await;
        let [logout, all, password, deactivated, deleted, revoked]: [_; 6] = self.0.try_into().unwrap();
        app.log_out(&logout.1).await.ok(200);
        app.post(path::LOGOUT_ALL).bearer_auth(&all.1.access).answer().await.ok(200);
        let other = app.log_in(&password.0).await;
        let change =
            json!({ "current_password": password.0.password, "new_password": "another NeverLogged phrase" });
        let changed = app.post(path::MY_PASSWORD).bearer_auth(&other.access).json(&change).answer().await;
        assert!(changed.status < 300, "{changed:?}");
        let user = |id: i64| format!("{}/{id}", path::USERS);
        let change = json!({ "is_active": false });
        let request = app.server().request("PATCH", &user(deactivated.0.id)).bearer_auth(&root.access);
        let changed = request.json(&change).answer().await;
        assert!(changed.status < 300, "{changed:?}");
        let request = app.server().request("DELETE", &user(deleted.0.id)).bearer_auth(&root.access);
        let changed = request.answer().await;
        assert!(changed.status < 300, "{changed:?}");
        let token = [("token", revoked.1.refresh.clone())];
        let request = app.post(path::REVOKE).bearer_auth(&root.access).form(&token);
        let changed = request.answer().await;
        assert!(changed.status < 300, "{changed:?}");
        vec![
            ("logout", logout.1),
            ("logout of all", all.1),
            ("change of the password", password.1),
            ("deactivation", deactivated.1),
            ("deletion", deleted.1),
            ("revocation", revoked.1),
        ]
    }
}

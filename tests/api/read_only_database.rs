//! A database that responds but accepts no writes: a hot standby, or one with `default_transaction_read_only`. The
//! server never uses it, neither at the start, nor after a failover, nor through an open connection.

use std::time::{Duration, Instant};

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, SUPERUSER, default_variables, path, superuser_password};
use latchkey_tests::key_set::{self, KeyFile};
use latchkey_tests::link::Link;
use latchkey_tests::postgres::{Database, Postgres};
use latchkey_tests::redis::Redis;
use latchkey_tests::server::Server;
use latchkey_tests::wait;
use serde_json::Value;

/// The deadline of the responses without a usable database.
const SOON: Duration = Duration::from_secs(3);

async fn wait_until_refused(server: &Server, words: &str) {
    wait::until(&format!("/readyz to report {words}"), || async {
        let answer = server.readiness().await;
        let database = answer.json()["dependencies"]["database"].clone();
        let named = database["message"].as_str().is_some_and(|message| message.contains(words));
        let refused = answer.status == 503 && database["ready"] == false && database["reason"] == "read_only";
        if named && refused { Ok(()) } else { Err(answer.body) }
    })
    .await;
    let status: Value = server.status().await;
    assert_eq!(status["ready"], false, "{status}");
    assert_eq!(status["dependencies"]["database"]["reason"], "read_only", "{status}");
}

/// Asserts that every request that needs the database gets a 503 in time.
async fn assert_unavailable(server: &Server, access: Option<&str>) {
    let begun = Instant::now();
    let form = [("username", SUPERUSER.to_owned()), ("password", superuser_password())];
    server.post(path::LOGIN).form(&form).answer().await.problem(503);
    server.post(path::TOKEN).form(&form).answer().await.problem(503);
    if let Some(access) = access {
        for target in [path::ME, path::VERIFY, path::SESSIONS] {
            server.get(target).bearer_auth(access).answer().await.problem(503);
        }
        server.post(path::LOGOUT).bearer_auth(access).answer().await.problem(503);
    }
    assert!(begun.elapsed() < SOON, "the answers took {:?}", begun.elapsed());
}

async fn wait_for_replay(standby: &Database, username: &str) {
    let sql = "SELECT count(*) FROM users WHERE username = $1 AND EXISTS (SELECT FROM sessions WHERE user_id = users.id)";
    wait::until_equal("the replayed accounts at the standby", 1, || standby.count(sql, username)).await;
}

#[tokio::test]
async fn a_standby_is_not_accepted_until_it_is_promoted() {
    let primary = Postgres::start();
    let database = primary.create_database().await;
    let standby = primary.start_standby();
    let redis = Redis::start();
    let keys = KeyFile::new(&[key_set::generate("ES256")]);
    let server =
        Server::start_timed(&default_variables(&database.by_port(standby.port()), &redis, &keys)).await;

    wait_until_refused(&server, "standby").await;
    assert_unavailable(&server, None).await;
    // It does not log every attempt.
    server.wait_for_log("a database connection was refused").await;
    assert!(
        server.log().iter().filter(|line| line.contains("a database connection was refused")).count() == 1
    );

    standby.promote();

    server.wait_until_ready().await;
    let form = [("username", SUPERUSER.to_owned()), ("password", superuser_password())];
    server.post(path::LOGIN).form(&form).answer().await.ok(200);
}

#[tokio::test]
async fn the_server_recovers_after_a_failover_to_a_standby() {
    let mut primary = Postgres::start();
    let database = primary.create_database().await;
    let standby = primary.start_standby();
    let copy = database.by_port(standby.port());
    let link = Link::to(primary.port());
    let url = database.by_port(link.port()).url();
    let app = App::setup().timed().set("DATABASE_URL", &url).start().await;
    let (user, session) = app.new_session("moved").await;
    wait_for_replay(&copy, &user.username).await;
    app.me(&session.access).await.ok(200);

    link.lead_to(standby.port());
    primary.stop();

    wait_until_refused(app.server(), "standby").await;
    assert_unavailable(app.server(), Some(&session.access)).await;

    standby.promote();

    app.server().wait_until_ready().await;
    app.me(&session.access).await.ok(200);
    app.log_out(&session).await.ok(200);
    app.me(&session.access).await.problem(401);
    app.log_in(&user).await;
}

#[tokio::test]
async fn connections_in_use_are_dropped_when_the_database_becomes_read_only() {
    let app = App::setup().timed().own_postgres().start().await;
    let (user, session) = app.new_session("busy").await;
    let busy = async {
        // The connections are never idle for long, so that only the check between two uses can find the change.
        loop {
            app.me(&session.access).await;
        }
    };
    let changes = async {
        app.database.execute("ALTER SYSTEM SET default_transaction_read_only = on").await;
        app.database.execute("SELECT pg_reload_conf()").await;
        wait_until_refused(app.server(), "default_transaction_read_only").await;
        wait::until_equal("the status of /me", 503, || async { app.me(&session.access).await.status }).await;
        app.post_login(&user.username, &user.password).await.problem(503);

        let mut admin = app.database.connect().await;
        for sql in [
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        ] {
            sqlx::query(sql).execute(&mut admin).await.expect(sql);
        }
        app.server().wait_until_ready().await;
        app.log_in(&user).await;
    };
    tokio::select! {
        () = busy => {}
        () = changes => {}
    }
}

#[tokio::test]
async fn a_database_that_is_read_only_by_default_is_not_accepted() {
    let primary = Postgres::start();
    let database = primary.create_database().await;
    let name = database.name.clone();
    let mut admin = database.connect().await;
    let alter = async |admin: &mut sqlx::PgConnection, what: &str| {
        let mut sql = sqlx::QueryBuilder::new("ALTER DATABASE ");
        sql.push(&name).push(what);
        sql.build().execute(admin).await.unwrap();
    };
    alter(&mut admin, " SET default_transaction_read_only = on").await;
    let redis = Redis::start();
    let keys = KeyFile::new(&[key_set::generate("ES256")]);
    let server = Server::start_timed(&default_variables(&database, &redis, &keys)).await;

    wait_until_refused(&server, "default_transaction_read_only").await;
    assert_unavailable(&server, None).await;

    alter(&mut admin, " RESET default_transaction_read_only").await;
    server.wait_until_ready().await;
}

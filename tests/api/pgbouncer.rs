//! PgBouncer with its default settings, in transaction mode: the server, `migrate` and `users import` work through it.

use std::fs;
use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::answer::{Answered as _, admitted};
use latchkey_tests::app::{App, Session, User};
use latchkey_tests::link::Link;
use latchkey_tests::pgbouncer::PgBouncer;
use latchkey_tests::postgres::Postgres;
use latchkey_tests::server::{Variables, run_command};
use latchkey_tests::wait;
use serde_json::json;

const TRANSACTION: &str = "pool_mode = transaction";
/// Four server connections for all clients of a database: sessions are shared all the time.
const CROWDED: &str = "pool_mode = transaction\ndefault_pool_size = 4";

fn only_database(url: String) -> Variables {
    Variables::from([("DATABASE_URL".to_owned(), url)])
}

/// Everything that one user does, several times. Fails at the first answer that is not the expected one.
async fn use_everything(app: &App, number: usize, (user, mut session): (User, Session)) {
    for round in 0..4 {
        let replica = (number + round) % app.servers.len();
        app.me_at(replica, &session.access).await.ok(200);
        let refreshed = app.refresh_at(replica, &session).await;
        refreshed.ok(200);
        session = Session::from_answer(&refreshed);
        let login = admitted(|| app.post_login(&user.username, &user.password)).await;
        let other = Session::from_answer(&login);
        app.log_out_at(replica, &other).await.ok(200);
        for replica in 0..app.servers.len() {
            app.me_at(replica, &other.access).await.problem(401);
        }
        let root = app.superuser().await;
        let users = app.get("/api/v1/users").bearer_auth(&root.access).answer().await;
        users.ok(200);
    }
    app.log_out(&session).await.ok(200);
    app.refresh(&session).await.problem(401);
}

/// Many users at the same time.
async fn use_everything_concurrently(app: &App) {
    let mut users = Vec::new();
    for number in 0..8 {
        users.push(app.new_session(&format!("pooled{number}")).await);
    }
    let numbered = users.into_iter().enumerate();
    join_all(numbered.map(|(number, user)| use_everything(app, number, user))).await;
}

#[tokio::test]
async fn replicas_serve_through_pgbouncer_under_load() {
    for settings in [TRANSACTION, CROWDED, "pool_mode = session"] {
        let app =
            App::setup().replicas(2).pgbouncer(settings).set("RATE_LIMITS_ENABLED", "false").start().await;
        use_everything_concurrently(&app).await;
        for server in &app.servers {
            server.wait_until_ready().await;
            let log = server.log();
            assert!(!log.iter().any(|line| line.contains("prepared statement")), "{log:?}");
            assert!(log.iter().any(|line| line.contains("connection pooler")), "{log:?}");
        }
    }
}

#[tokio::test]
async fn the_database_is_migrated_through_pgbouncer_by_several_processes() {
    let postgres = Postgres::shared();
    let database = postgres.create_empty_database().await;
    let pooler = PgBouncer::start(&database, CROWDED);
    let variables = only_database(database.by_port(pooler.port()).url());
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let variables = variables.clone();
            std::thread::spawn(move || run_command(&["migrate"], &variables))
        })
        .collect();
    for run in runs {
        let output = run.join().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let locks = database
        .count("SELECT count(*) FROM pg_locks WHERE locktype = $1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", "advisory")
        .await;
    assert_eq!(locks, 0, "a lock stays behind in a session of the pooler");
    // The next release runs it again.
    let output = run_command(&["migrate"], &variables);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("a connection pooler may hide"), "{output:?}");
}

#[tokio::test]
async fn accounts_are_imported_and_checked_through_pgbouncer() {
    let app = App::setup().pgbouncer(TRANSACTION).start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.jsonl");
    let lines: Vec<_> = (0..600)
        .map(|number| {
            json!({ "username": format!("user{number}"), "email": format!("user{number}@example.test"), "name": "User" })
                .to_string()
        })
        .collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let variables = only_database(app.variables["DATABASE_URL"].clone());
    let path = file.display().to_string();
    let runs: Vec<_> = (0..2)
        .map(|_| {
            let (path, variables) = (path.clone(), variables.clone());
            std::thread::spawn(move || run_command(&["users", "import", &path], &variables))
        })
        .collect();
    for run in runs {
        let output = run.join().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let made = app.database.count("SELECT count(*) FROM users WHERE username LIKE $1", "user%").await;
    assert_eq!(made, 600);
    let check = run_command(&["check"], &app.variables);
    let said = String::from_utf8([&check.stdout[..], &check.stderr[..]].concat()).unwrap();
    assert!(check.status.success() && said.contains("through a connection pooler"), "{said}");
    let ended = run_command(&["sessions", "end-all"], &variables);
    assert!(ended.status.success(), "{ended:?}");
}

#[tokio::test]
async fn parameters_that_pgbouncer_ignores_do_not_hide_it() {
    let settings = "pool_mode = transaction\nignore_startup_parameters = options,extra_float_digits";
    let app = App::setup().replicas(2).pgbouncer(settings).set("RATE_LIMITS_ENABLED", "false").start().await;
    use_everything_concurrently(&app).await;
    assert!(app.server().log().iter().any(|line| line.contains("connection pooler")));
}

#[tokio::test]
async fn what_pgbouncer_refuses_is_named() {
    let database = Postgres::shared().create_database().await;
    let expected = [
        ("pool_mode = statement", "", "statement mode"),
        ("pool_mode = transaction", "?options=-c%20work_mem%3D4MB", "remove `options`"),
        ("pool_mode = transaction\nmax_client_conn = 0", "", "accepts no more connections"),
    ];
    for (settings, query, words) in expected {
        let pooler = PgBouncer::start(&database, settings);
        let url = format!("{}{query}", database.by_port(pooler.port()).url());
        let output = run_command(&["migrate"], &only_database(url));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{settings}: {said} {:?}", pooler.log());
    }
}

#[tokio::test]
async fn deadlines_hold_behind_pgbouncer() {
    let database = Postgres::shared().create_database().await;
    let link = Link::to(database.port());
    let pooler = PgBouncer::start(&database.by_port(link.port()), TRANSACTION);
    let url = database.by_port(pooler.port()).url();
    let app = App::setup().timed().set("DATABASE_URL", &url).start().await;
    let (user, session): (User, Session) = app.new_session("silent").await;
    join_all((0..6).map(|_| app.me(&session.access))).await;
    link.silence_open();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        let request = Instant::now();
        let (me, login) =
            tokio::join!(app.me(&session.access), app.post_login(&user.username, &user.password));
        assert!(request.elapsed() <= Duration::from_secs(3), "it took {:?}", request.elapsed());
        for answer in [me, login] {
            assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        }
    }
    wait::until("requests to succeed on new connections", || async {
        let me = app.me(&session.access).await;
        wait::check(me.status == 200, me.status)
    })
    .await;
    app.me(&session.access).await.ok(200);
}

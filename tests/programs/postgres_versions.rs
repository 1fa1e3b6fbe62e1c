//! Every supported major version of PostgreSQL: the server migrates it, and accounts and sessions work.

use latchkey_tests::answer::Answered as _;
use latchkey_tests::app::{App, Session, path};
use latchkey_tests::postgres::Postgres;
use latchkey_tests::server::run_command;
use serde_json::json;

use crate::verifiers::prepared;

/// All that are maintained.
const VERSIONS: [u32; 5] = [14, 15, 16, 17, 18];

#[tokio::test]
async fn the_server_works_with_each_supported_version() {
    let programs = prepared("postgres").join("node_modules");
    for version in VERSIONS {
        let postgres = Postgres::start_from(&programs.join(format!("postgres-{version}/native")));
        let database = postgres.create_empty_database().await;
        let found =
            database.text("SELECT split_part(current_setting('server_version'), '.', 1) || $1", "").await;
        assert_eq!(found, version.to_string());
        database.migrate();
        let app = App::setup().set("DATABASE_URL", &database.url()).start().await;
        assert!(run_command(&["check"], &app.variables).status.success(), "version {version}");
        use_accounts(&app).await;
        let log = app.server().log();
        assert!(!log.iter().any(|line| line.contains("\"ERROR\"")), "version {version}: {log:?}");
        let errors: Vec<_> = postgres.log().into_iter().filter(|line| line.contains("ERROR:")).collect();
        assert!(errors.is_empty(), "version {version}: {errors:?}");
    }
}

async fn use_accounts(app: &App) {
    let (user, session) = app.new_session("version").await;
    app.me(&session.access).await.ok(200);
    let refreshed = app.refresh(&session).await;
    refreshed.ok(200);
    let session = Session::from_answer(&refreshed);
    let root = app.superuser().await;
    for target in [path::USERS, "/api/v1/audit", path::SESSIONS] {
        app.get(target).bearer_auth(&root.access).answer().await.ok(200);
    }
    let other = app.log_in(&user).await;
    let change = json!({ "current_password": user.password, "new_password": "another NeverLogged phrase" });
    let changed = app.post(path::MY_PASSWORD).bearer_auth(&other.access).json(&change).answer().await;
    assert!(changed.status < 300, "{changed:?}");
    app.me(&session.access).await.problem(401);
    app.log_out(&other).await.ok(200);
    app.refresh(&other).await.problem(401);
    let deleted = app.server().request("DELETE", &format!("{}/{}", path::USERS, user.id));
    assert!(deleted.bearer_auth(&root.access).answer().await.status < 300);
}

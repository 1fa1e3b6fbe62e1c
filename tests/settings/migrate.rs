//! `latchkey-server migrate`

use latchkey_tests::postgres::Postgres;
use latchkey_tests::server::{Server, Variables, run_command};
use latchkey_tests::wait;
use serde_json::Value;

use crate::parts::Parts;

fn only_database(url: String) -> Variables {
    Variables::from([("DATABASE_URL".to_owned(), url)])
}

#[tokio::test]
async fn migrations_can_be_repeated_and_run_concurrently() {
    let database = Postgres::shared().create_empty_database().await;
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| run_command(&["migrate"], &only_database(database.url()))))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for output in outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(run_command(&["migrate"], &only_database(database.url())).status.success());
    assert_eq!(database.count("SELECT count(*) FROM users WHERE username <> $1", "").await, 0);
}

#[test]
fn migrate_reports_an_unavailable_postgres() {
    let url = "postgres://u:NeverLogged@127.0.0.1:1/d".to_owned();
    let output = run_command(&["migrate"], &only_database(url));
    assert!(!output.status.success());
    let output_text = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(output_text.contains("database") || output_text.contains("postgres"), "{output_text}");
    assert_eq!(latchkey_tests::logs::leak(&String::from_utf8_lossy(&output.stderr)), None);
}

#[tokio::test]
async fn serve_reports_a_missing_schema_and_waits_for_it() {
    let parts = Parts::on(Postgres::shared().create_empty_database().await);
    let server = Server::start(&parts.variables).await;
    wait::until("/readyz to report the missing schema", || async {
        let answer = server.readiness().await;
        let body: Value = answer.json();
        let schema = &body["dependencies"]["schema"];
        let message = schema["message"].as_str().unwrap_or_default().to_lowercase();
        let found = answer.status == 503 && schema["ready"] == false && message.contains("migrate");
        wait::check(found, body)
    })
    .await;
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND $1 <> ''";
    assert_eq!(parts.database.count(tables, "any").await, 0, "the server changed the database");

    assert!(run_command(&["migrate"], &only_database(parts.database.url())).status.success());
    server.wait_until_ready().await;
}

#[tokio::test]
async fn a_newer_schema_is_only_used_if_it_tolerates_this_release() {
    let parts = Parts::start().await;
    let server = Server::start(&parts.variables).await;
    server.wait_until_ready().await;
    let status = server.status().await;
    let (ours, oldest) = (&status["required_schema_version"], &status["oldest_tolerated_server"]);
    assert!(oldest.as_i64() >= Some(1) && oldest.as_i64() <= ours.as_i64(), "{status}");
    let output_text = run_command(&["schema"], &Variables::new());
    assert!(
        String::from_utf8_lossy(&output_text.stdout).contains(&format!("schema version {ours}")),
        "{output_text:?}"
    );

    // A newer release migrates, and does not declare which servers tolerate the schema.
    parts.database.execute(NEWER).await;
    let wait_until_refused = async |words: &'static str| {
        wait::until(&format!("/readyz to report {words:?}"), || async {
            let answer = server.readiness().await;
            let schema = answer.json()["dependencies"]["schema"].clone();
            let named = schema["message"].as_str().is_some_and(|message| message.contains(words));
            wait::check(answer.status == 503 && schema["ready"] == false && named, schema)
        })
        .await;
        let output = run_command(&["migrate"], &only_database(parts.database.url()));
        let output_text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && output_text.contains(words) && output_text.contains("newer release"),
            "{output_text}"
        );
        assert_eq!(output_text.trim().lines().count(), 1, "{output_text}");
    };
    wait_until_refused("nothing says").await;
    parts.database.execute("INSERT INTO schema_tolerance (version, oldest_server) VALUES (99, 98)").await;
    wait_until_refused("version 98").await;

    // This release is one of those that tolerate it.
    parts.database.execute("UPDATE schema_tolerance SET oldest_server = 2 WHERE version = 99").await;
    server.wait_until_ready().await;
    assert!(run_command(&["migrate"], &only_database(parts.database.url())).status.success());
}

/// The migration of a newer release.
const NEWER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
     VALUES (99, 'newer', true, '', 0)";

#[tokio::test]
async fn a_migration_that_would_break_a_running_server_is_refused() {
    let database = Postgres::shared().create_empty_database().await;
    // By its application name, a server from before the first migration.
    let mut running = database.connect().await;
    sqlx::query("SET application_name = 'latchkey-server/0'").execute(&mut running).await.unwrap();
    let output = run_command(&["migrate"], &only_database(database.url()));
    let output_text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{output_text}");
    assert!(
        output_text.contains("would break them") && output_text.contains("nothing was changed"),
        "{output_text}"
    );
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND $1 <> ''";
    assert_eq!(database.count(tables, "any").await, 0);

    // A server of the previous release may run at the same time.
    sqlx::query("SET application_name = 'latchkey-server'").execute(&mut running).await.unwrap();
    assert!(run_command(&["migrate"], &only_database(database.url())).status.success());
}

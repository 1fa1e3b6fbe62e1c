//! `migrate` builds an index while servers write to the table, reports its progress, and continues after a crash.

use std::process::Command;

use latchkey_tests::pgbouncer::PgBouncer;
use latchkey_tests::postgres::{Database, Postgres};
use latchkey_tests::process::{OnParentDeath, Process};
use latchkey_tests::server::{Variables, run_command};
use latchkey_tests::{programs, wait};
use sqlx::PgConnection;

/// What the migration has done.
const UNDO: [&str; 2] =
    ["DROP INDEX revocations_user_id_idx", "DELETE FROM _sqlx_migrations WHERE version = 9"];
const WRITE: &str = "INSERT INTO revocations (session_id, expires_at) VALUES (gen_random_uuid(), now())";
const BUILDING: &str =
    "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database() AND $1 <> ''";
const COMPLETE: &str = "SELECT count(*) FROM pg_index, _sqlx_migrations
    WHERE indexrelid = to_regclass($1) AND indisvalid AND version = 9 AND success";
const INVALID: &str = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid";
const INDEX: &str = "revocations_user_id_idx";

/// A database without the index, and a writer that the build has to wait for.
async fn start() -> (Database, PgConnection) {
    let database = Postgres::shared().create_database().await;
    for sql in UNDO {
        database.execute(sql).await;
    }
    let writer = database.begin(WRITE).await;
    (database, writer)
}

fn migrate(database: &Database) -> Process {
    let mut command = Command::new(programs::latchkey_server());
    command.arg("migrate").env_clear().env("DATABASE_URL", database.url());
    Process::start(&command, OnParentDeath::Kill)
}

async fn wait_until_building(database: &Database) {
    wait::until_equal("the number of index builds", 1, || database.count(BUILDING, "x")).await;
}

async fn commit(mut writer: PgConnection) {
    sqlx::query("COMMIT").execute(&mut writer).await.unwrap();
}

async fn assert_complete(database: &Database) {
    assert_eq!(database.count(COMPLETE, INDEX).await, 1);
    let variables = Variables::from([("DATABASE_URL".to_owned(), database.url())]);
    assert!(run_command(&["migrate"], &variables).status.success());
}

async fn assert_builds_beside_writers(database: &Database, through: &Database, writer: PgConnection) {
    let mut migration = migrate(through);
    wait_until_building(database).await;
    // A build that is not concurrent would keep this one waiting.
    database.execute(WRITE).await;
    wait::until("the migration to report its progress", || {
        let lines = migration.stderr.all();
        let is_reported = lines.iter().any(|line| {
            line.starts_with("the migration 9 has been running for ")
                && line.contains(" s: waiting for writers")
        });
        async move { wait::check(is_reported, lines) }
    })
    .await;
    assert!(migration.is_running());
    commit(writer).await;
    assert!(migration.wait().success(), "{:?}", migration.stderr.all());
    assert_complete(database).await;
}

#[tokio::test]
async fn an_index_is_built_while_others_write() {
    let (database, writer) = start().await;
    assert_builds_beside_writers(&database, &database, writer).await;
}

#[tokio::test]
async fn an_index_is_built_through_pgbouncer() {
    let (database, writer) = start().await;
    let pooler = PgBouncer::start(&database, "pool_mode = transaction");
    assert_builds_beside_writers(&database, &database.by_port(pooler.port()), writer).await;
}

#[tokio::test]
async fn two_runs_complete_the_build_of_one_that_was_killed() {
    let (database, writer) = start().await;
    let mut killed = migrate(&database);
    wait_until_building(&database).await;
    killed.kill();
    // PostgreSQL goes on with the build.
    let mut runs = [migrate(&database), migrate(&database)];
    wait::until("both to wait", || {
        let lines: Vec<_> = runs.iter().map(|run| run.stderr.all()).collect();
        async move { wait::check(lines.iter().all(|lines| !lines.is_empty()), lines) }
    })
    .await;
    assert_eq!(database.count(BUILDING, "x").await, 1);
    commit(writer).await;
    for run in &mut runs {
        assert!(run.wait().success(), "{:?}", run.stderr.all());
    }
    assert_complete(&database).await;
}

#[tokio::test]
async fn an_invalid_index_is_built_again() {
    let (database, writer) = start().await;
    let mut failed = migrate(&database);
    wait_until_building(&database).await;
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_progress_create_index
               WHERE datname = current_database() AND $1 <> ''";
    assert_eq!(database.count(sql, "x").await, 1);
    assert!(!failed.wait().success(), "{:?}", failed.stderr.all());
    assert_eq!(database.count(INVALID, INDEX).await, 1);
    commit(writer).await;
    let mut run = migrate(&database);
    assert!(run.wait().success(), "{:?}", run.stderr.all());
    assert_complete(&database).await;
}

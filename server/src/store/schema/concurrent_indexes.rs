//! Migrations that build indexes while servers write to the table. Their first line is `-- no-transaction`, and they contain
//! nothing but `CREATE INDEX CONCURRENTLY`, which PostgreSQL does not run in a transaction.
//!
//! The index is what records how far such a migration is: it is missing, being built, invalid after a build that was
//! interrupted, or valid. Every run continues from there.
//!
//! A process that waits for its turn must not wait in a statement: the build waits for every statement that began before,
//! so that each would wait for the other. It asks again after a pause.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration};
use tokio::time::sleep;

use super::applied::{Failure, begin_locked, is_applied, record};
use super::progress::Progress;
use crate::store::StoreError;
use crate::store::pool::{Deadlines, Pool, Transaction};

/// Between two looks at another process, or at a build that goes on without its process.
const PAUSE: Duration = Duration::from_millis(500);

/// An index to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IndexBuild {
    name: String,
    statement: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IndexState {
    Missing,
    /// Perhaps for a process that has ended: PostgreSQL notices only at the end of the build.
    BeingBuilt,
    Invalid,
    Valid,
}

/// Applies the migration, unless it is applied.
pub(super) async fn apply(pool: &Pool, migration: &Migration, progress: Progress<'_>) -> Result<(), Failure> {
    let indexes =
        parse(migration.sql.as_str()).map_err(|reason| failed(migration, sqlx::Error::Protocol(reason)))?;
    let wait = async {
        loop {
            // Asked with the right, so that another process cannot have finished in between.
            let guard = try_right(pool).await?;
            if is_applied(pool, migration).await? {
                return Ok(None);
            }
            if guard.is_some() {
                return Ok::<_, Failure>(guard);
            }
            sleep(PAUSE).await;
        }
    };
    let Some(mut guard) = progress.follow(pool, migration.version, None, wait).await? else { return Ok(()) };
    let work = async {
        for index in &indexes {
            build(pool, index).await.map_err(|error| failed(migration, error))?;
        }
        Ok::<_, Failure>(())
    };
    progress.follow(pool, migration.version, Some(&mut guard), work).await?;
    let mut transaction = begin_locked(pool).await?;
    // Another process may have recorded it if the right was lost with its connection.
    if !is_applied(&mut *transaction, migration).await? {
        record(&mut transaction, migration).await?;
    }
    transaction.commit().await.map_err(|error| failed(migration, error))
}

fn failed(migration: &Migration, error: sqlx::Error) -> Failure {
    Failure::Migration(MigrateError::ExecuteMigration(error, migration.version))
}

/// The right to build, which ends with the transaction; `None` while another process has it.
async fn try_right(pool: &Pool) -> Result<Option<Transaction>, StoreError> {
    let mut transaction = pool.begin_guard().await?;
    let granted: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtext('latchkey.migrations.indexes'))")
            .fetch_one(&mut *transaction)
            .await?;
    Ok(granted.then_some(transaction))
}

async fn build(pool: &Pool, index: &IndexBuild) -> Result<(), sqlx::Error> {
    loop {
        let statement = match find_state(pool, &index.name).await? {
            IndexState::Valid => return Ok(()),
            IndexState::BeingBuilt => {
                sleep(PAUSE).await;
                continue;
            }
            IndexState::Invalid => format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.name),
            IndexState::Missing => index.statement.clone(),
        };
        pool.with(Deadlines::INDEX).acquire().await?.execute_outside_transaction(statement).await?;
    }
}

async fn find_state(pool: &Pool, name: &str) -> Result<IndexState, sqlx::Error> {
    let found: Option<(bool, bool)> = sqlx::query_as(
        "SELECT indisvalid, EXISTS (
             SELECT FROM pg_stat_progress_create_index
             WHERE datname = current_database() AND index_relid = indexrelid)
         FROM pg_index WHERE indexrelid = to_regclass($1)::oid",
    )
    .bind(name)
    .fetch_optional(pool)
    .await?;
    Ok(match found {
        None => IndexState::Missing,
        Some((true, _)) => IndexState::Valid,
        Some((false, true)) => IndexState::BeingBuilt,
        Some((false, false)) => IndexState::Invalid,
    })
}

/// # Errors
/// What is wrong with the first statement that does not build a named index concurrently.
fn parse(sql: &str) -> Result<Vec<IndexBuild>, String> {
    let without_comments: Vec<_> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let text = without_comments.join("\n");
    let statements = text.split(';').map(str::trim).filter(|statement| !statement.is_empty());
    let indexes: Result<Vec<_>, _> = statements.map(parse_statement).collect();
    indexes.and_then(
        |indexes| if indexes.is_empty() { Err("it builds no index".to_owned()) } else { Ok(indexes) },
    )
}

fn parse_statement(statement: &str) -> Result<IndexBuild, String> {
    let words: Vec<_> = statement.split_whitespace().collect();
    let rest = words.strip_prefix(&["CREATE"]).unwrap_or_default();
    let rest = rest.strip_prefix(&["UNIQUE"]).unwrap_or(rest);
    match rest.strip_prefix(&["INDEX", "CONCURRENTLY"]) {
        // `IF NOT EXISTS` would take an invalid index for a complete one.
        Some([name, "ON", ..]) if is_plain_name(name) => {
            Ok(IndexBuild { name: (*name).to_owned(), statement: statement.to_owned() })
        }
        _ => Err(format!("not `CREATE INDEX CONCURRENTLY name ON …`: {statement}")),
    }
}

fn is_plain_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    first
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether the migration can be applied by this module.
#[cfg(test)]
pub(super) fn is_accepted(sql: &str) -> bool {
    parse(sql).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_concurrent_indexes_are_accepted() {
        let sql = "-- no-transaction\n-- Why; really.\n\nCREATE INDEX CONCURRENTLY a_idx\n    ON a (b);\nCREATE UNIQUE INDEX CONCURRENTLY b_key ON b (c) WHERE c > 1;\n";
        let indexes = parse(sql).unwrap();
        let names: Vec<_> = indexes.iter().map(|index| index.name.as_str()).collect();
        assert_eq!(names, ["a_idx", "b_key"]);
        assert_eq!(indexes[0].statement, "CREATE INDEX CONCURRENTLY a_idx\n    ON a (b)");
        for refused in [
            "",
            "-- no-transaction",
            "CREATE INDEX a_idx ON a (b)",
            "CREATE INDEX CONCURRENTLY ON a (b)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS a_idx ON a (b)",
            "CREATE INDEX CONCURRENTLY \"A\" ON a (b)",
            "CREATE INDEX CONCURRENTLY a_idx ON a (b); DROP TABLE a",
            "VACUUM a",
        ] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }
}

//! The record of the applied migrations, `_sqlx_migrations`.

use sqlx::migrate::{MigrateError, Migration};
use sqlx::{Executor, Postgres};

use crate::store::StoreError;
use crate::store::pool::{Pool, Transaction};

/// Why the migrations did not end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The database could not be reached.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A migration failed; the database is as it was before it.
    #[error("{0}")]
    Migration(#[source] MigrateError),
}

pub(super) async fn create_table(pool: &Pool) -> Result<(), StoreError> {
    let mut transaction = begin_locked(pool).await?;
    // As sqlx creates it.
    transaction
        .execute(sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
                 version        bigint PRIMARY KEY,
                 description    text NOT NULL,
                 installed_on   timestamptz NOT NULL DEFAULT now(),
                 success        boolean NOT NULL,
                 checksum       bytea NOT NULL,
                 execution_time bigint NOT NULL)",
        ))
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// Other processes that migrate wait until the transaction has ended.
pub(super) async fn begin_locked(pool: &Pool) -> Result<Transaction, StoreError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('latchkey.migrations'))")
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// # Errors
/// The database has another migration of this version.
pub(super) async fn is_applied(
    executor: impl Executor<'_, Database = Postgres>,
    migration: &Migration,
) -> Result<bool, Failure> {
    let version = migration.version;
    let failed = |error| Failure::Migration(MigrateError::ExecuteMigration(error, version));
    let applied: Option<(bool, Vec<u8>)> =
        sqlx::query_as("SELECT success, checksum FROM _sqlx_migrations WHERE version = $1")
            .bind(version)
            .fetch_optional(executor)
            .await
            .map_err(failed)?;
    match applied.map(|(success, checksum)| (success, checksum == *migration.checksum)) {
        None => Ok(false),
        Some((true, true)) => Ok(true),
        Some((true, false)) => Err(Failure::Migration(MigrateError::VersionMismatch(version))),
        Some((false, _)) => Err(Failure::Migration(MigrateError::Dirty(version))),
    }
}

/// Records that the migration is applied.
pub(super) async fn record(transaction: &mut Transaction, migration: &Migration) -> Result<(), Failure> {
    let version = migration.version;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ($1, $2, true, $3, (extract(epoch FROM clock_timestamp() - now()) * 1e9)::bigint)",
    )
    .bind(version)
    .bind(&*migration.description)
    .bind(&*migration.checksum)
    .execute(&mut **transaction)
    .await
    .map_err(|error| Failure::Migration(MigrateError::ExecuteMigration(error, version)))?;
    Ok(())
}

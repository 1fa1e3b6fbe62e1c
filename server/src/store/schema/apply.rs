//! Applies migrations. Each runs in its own transaction together with its row in `_sqlx_migrations` and under an advisory lock
//! of the transaction: a lock of the session, which sqlx takes, stays behind in the session of a connection pooler.

use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{Executor as _, Row as _};

use crate::store::StoreError;
use crate::store::pool::{Deadlines, Pool, Transaction};

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

/// # Errors
/// The database could not be reached, or a migration failed. Migrations that are unknown are left alone.
pub(super) async fn apply_all(pool: &Pool, migrator: &Migrator) -> Result<(), Failure> {
    let pool = pool.with(Deadlines::LONG_MIGRATION);
    create_table(&pool).await?;
    for migration in migrator.iter() {
        apply(&pool, migration).await?;
    }
    Ok(())
}

async fn create_table(pool: &Pool) -> Result<(), StoreError> {
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
async fn begin_locked(pool: &Pool) -> Result<Transaction, StoreError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('latchkey.migrations'))")
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

async fn apply(pool: &Pool, migration: &Migration) -> Result<(), Failure> {
    let version = migration.version;
    let mut transaction = begin_locked(pool).await?;
    let failed = |error| Failure::Migration(MigrateError::ExecuteMigration(error, version));
    let applied = sqlx::query("SELECT success, checksum FROM _sqlx_migrations WHERE version = $1")
        .bind(version)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
    if let Some(row) = applied {
        let (success, checksum): (bool, Vec<u8>) =
            (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        return match (success, checksum == *migration.checksum) {
            (true, true) => Ok(()),
            (true, false) => Err(Failure::Migration(MigrateError::VersionMismatch(version))),
            (false, _) => Err(Failure::Migration(MigrateError::Dirty(version))),
        };
    }
    transaction.execute(sqlx::raw_sql(migration.sql.clone())).await.map_err(failed)?;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ($1, $2, true, $3, (extract(epoch FROM clock_timestamp() - now()) * 1e9)::bigint)",
    )
    .bind(version)
    .bind(&*migration.description)
    .bind(&*migration.checksum)
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

//! Applies migrations. Each runs in its own transaction, together with its row in `_sqlx_migrations` and under an advisory lock
//! of the transaction: a lock of the session, which sqlx takes, stays behind in the session of a connection pooler. Those that
//! build indexes concurrently are applied by another module.

use sqlx::Executor as _;
use sqlx::migrate::{MigrateError, Migration, Migrator};

use super::applied::{Failure, begin_locked, create_table, is_applied, record};
use super::concurrent_indexes;
use super::progress::Progress;
use crate::store::pool::{Deadlines, Pool};

/// # Errors
/// The database could not be reached, or a migration failed. Migrations that are unknown are left alone.
pub(super) async fn apply_all(
    pool: &Pool,
    migrator: &Migrator,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let pool = pool.with(Deadlines::LONG_MIGRATION);
    create_table(&pool).await?;
    for migration in migrator.iter() {
        if migration.no_tx {
            concurrent_indexes::apply(&pool, migration, progress).await?;
        } else {
            progress.follow(&pool, migration.version, None, apply(&pool, migration)).await?;
        }
    }
    Ok(())
}

async fn apply(pool: &Pool, migration: &Migration) -> Result<(), Failure> {
    let failed = |error| Failure::Migration(MigrateError::ExecuteMigration(error, migration.version));
    let mut transaction = begin_locked(pool).await?;
    if is_applied(&mut *transaction, migration).await? {
        return Ok(());
    }
    transaction.execute(sqlx::raw_sql(migration.sql.clone())).await.map_err(failed)?;
    record(&mut transaction, migration).await?;
    transaction.commit().await.map_err(failed)
}

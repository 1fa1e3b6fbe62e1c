//! The schema's version and its migrations (see `migrations/README.md`).

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::{Store, StoreError};

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// The newest migration this binary was built with; it cannot run on an older schema.
pub const REQUIRED_SCHEMA_VERSION: i64 = 2;

/// A migration run that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database could not be reached.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A migration failed; the database is as it was before it.
    #[error("a migration failed: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

/// Brings the schema up to date. Runs of several processes at once wait for each other (advisory lock).
/// Migrations that the database has and this binary does not know are left alone: a newer release made them.
///
/// # Errors
/// [`MigrateError`]; running it again is always safe.
pub async fn migrate(database_url: &str) -> Result<i64, MigrateError> {
    let options: sqlx::postgres::PgConnectOptions =
        database_url.parse().map_err(|_| StoreError::MalformedUrl)?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options.application_name("latchkey-migrate"))
        .await
        .map_err(StoreError::from)?;
    let mut migrator = Migrator { migrations: MIGRATOR.migrations.clone(), ..Migrator::DEFAULT };
    migrator.set_ignore_missing(true);
    migrator.run(&pool).await.map_err(MigrateError::Migration)?;
    Ok(fetch_schema_version(&pool).await?.unwrap_or_default())
}

impl Store {
    /// The newest migration that was applied; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn schema_version(&self) -> Result<Option<i64>, StoreError> {
        fetch_schema_version(&self.pool).await
    }
}

async fn fetch_schema_version(pool: &PgPool) -> Result<Option<i64>, StoreError> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(pool).await?;
    if !exists {
        return Ok(None);
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(pool).await?;
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_required_version_is_the_newest_migration() {
        let newest = MIGRATOR.iter().map(|migration| migration.version).max();
        assert_eq!(newest, Some(REQUIRED_SCHEMA_VERSION));
    }
}

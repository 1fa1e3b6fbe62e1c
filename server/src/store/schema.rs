//! The schema's version, its migrations and which servers can live with them (see `migrations/README.md`).

mod applied;
mod apply;
mod concurrent_indexes;
mod progress;
mod tolerance;

use std::time::Duration;

use sqlx::migrate::Migrator;
use tokio::time::timeout;

use super::connection::connect_target;
use super::pool::{Deadlines, Pool};
use super::schema_version::REQUIRED_SCHEMA_VERSION;
use super::{Store, StoreError};
use crate::trusted_roots::TrustedRoots;

pub use progress::Progress;
pub use tolerance::{OLDEST_TOLERATED_SERVER, Schema, describe_unfit};

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// How long all migrations together may take, with the wait for another process that runs them. An index of a large table
/// takes hours.
const LIMIT: Duration = Duration::from_hours(24);

/// For the migration, for the right to build indexes, and for reports.
const CONNECTIONS: u32 = 3;

/// A migration run that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database could not be reached.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A migration failed; the database is as it was before it.
    #[error("a migration failed: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A newer release made the schema one that this one cannot use.
    #[error(
        "this release cannot use the database: {0}; go back to the newer release, or restore a backup that is older than its migration"
    )]
    Downgrade(String),
    /// Servers that run would break.
    #[error(
        "servers that know the schema only up to version {running} use this database, and migration {migration} would break them: nothing was changed; first roll out a release that knows version {needed}, or stop them (spec.replicas: 0) until this one has migrated"
    )]
    WouldBreak {
        /// The newest migration that the oldest of them knows.
        running: i64,
        migration: i64,
        /// The newest migration that a server must know to live with it.
        needed: i64,
    },
}

/// A migration run that succeeded.
#[derive(Debug, Clone, Copy)]
pub struct Migrated {
    /// The version of the schema.
    pub version: i64,
    /// Whether a connection pooler shares the sessions of the database between its clients.
    pub is_behind_pooler: bool,
}

/// Brings the schema up to date. Concurrent runs wait for each other (advisory locks).
/// Migrations that the database has and this binary does not know are left alone: a newer release made them.
///
/// # Errors
/// [`MigrateError`]; running it again is always safe. Nothing was changed when this binary could not use the
/// schema, or servers that run could not use the next one.
pub async fn migrate(
    database_url: &str,
    roots: &TrustedRoots,
    progress: Progress<'_>,
) -> Result<Migrated, MigrateError> {
    let target = connect_target(database_url, roots)?.named("latchkey-migrate");
    let pool = Pool::connect_lazily(target, CONNECTIONS, Deadlines::MIGRATION);
    // Asked of a standby, what follows would answer for the primary, or fail for a reason that says nothing.
    drop(pool.acquire_tested().await.map_err(StoreError::from)?);
    let before = tolerance::fetch_schema(&pool).await?;
    if let Some(reason) = describe_unfit(&before).filter(|_| before.known() > REQUIRED_SCHEMA_VERSION) {
        return Err(MigrateError::Downgrade(reason));
    }
    let applied = tolerance::fetch_applied(&pool).await?;
    let pending: Vec<_> =
        tolerance::OLDEST_SERVERS.into_iter().filter(|(version, _)| !applied.contains(version)).collect();
    if let Some(running) = tolerance::fetch_oldest_running(&pool).await?
        && let Some((migration, needed)) = pending.into_iter().find(|(_, oldest)| *oldest > running)
    {
        return Err(MigrateError::WouldBreak { running, migration, needed });
    }
    // Declared before it is true: a server that sees the new schema must find what it means for it.
    tolerance::declare(&pool).await?;
    timeout(LIMIT, apply::apply_all(&pool, &MIGRATOR, progress))
        .await
        .map_err(|_| StoreError::Unavailable("the migrations did not end within the time limit"))??;
    let version = tolerance::fetch_schema(&pool).await?.known();
    Ok(Migrated { version, is_behind_pooler: pool.is_shared() })
}

impl From<applied::Failure> for MigrateError {
    fn from(failure: applied::Failure) -> Self {
        match failure {
            applied::Failure::Store(error) => Self::Store(error),
            applied::Failure::Migration(error) => Self::Migration(error),
        }
    }
}

impl Store {
    /// The schema as it is; its version is `None` when there is none. Whether the database accepts writes is asked anew.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer, [`StoreError::ReadOnly`] when it accepts no writes.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        drop(self.pool.acquire_tested().await?);
        tolerance::fetch_schema(&self.pool).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_required_version_is_the_newest_migration() {
        let newest = MIGRATOR.iter().map(|migration| migration.version).max();
        assert_eq!(newest, Some(REQUIRED_SCHEMA_VERSION));
    }

    #[test]
    fn every_migration_runs_in_a_transaction_or_builds_indexes_concurrently() {
        for migration in MIGRATOR.iter() {
            let is_accepted = concurrent_indexes::is_accepted(migration.sql.as_str());
            assert_eq!(migration.no_tx, is_accepted, "{}", migration.version);
            assert!(!migration.migration_type.is_down_migration(), "{}", migration.version);
        }
    }

    #[test]
    fn every_migration_says_which_servers_can_live_with_it() {
        let migrations: Vec<_> = MIGRATOR.iter().map(|migration| migration.version).collect();
        assert_eq!(tolerance::OLDEST_SERVERS.map(|(version, _)| version).to_vec(), migrations);
        for (version, oldest) in tolerance::OLDEST_SERVERS {
            assert!((1..=version).contains(&oldest), "{version}: a server that knows {oldest}");
        }
    }
}

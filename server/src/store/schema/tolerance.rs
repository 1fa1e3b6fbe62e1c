//! Which servers can live with which schema. Every server has a number: the newest migration it was built with. Each
//! migration declares the lowest number of a server that goes on beside it; the declarations stand in the database
//! too, so that a server that is older than a migration can tell what it means for it.

use std::collections::BTreeSet;

use crate::store::StoreError;
use crate::store::pool::Pool;
use crate::store::schema_version::{REQUIRED_SCHEMA_VERSION, SERVER_APPLICATION};

/// Every migration, and the oldest server that can live with it.
pub(super) const OLDEST_SERVERS: [(i64, i64); 13] = [
    (1, 1),
    (2, 1),
    (3, 1),
    (4, 1),
    (5, 1),
    (6, 1),
    (7, 1),
    (8, 1),
    (9, 1),
    (10, 1),
    (11, 1),
    (12, 1),
    (13, 1),
];

/// The oldest server that can live with the schema that this binary makes.
pub const OLDEST_TOLERATED_SERVER: i64 = {
    let (mut oldest, mut index) = (0, 0);
    while index < OLDEST_SERVERS.len() {
        if OLDEST_SERVERS[index].1 > oldest {
            oldest = OLDEST_SERVERS[index].1;
        }
        index += 1;
    }
    oldest
};

/// A schema as a server finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// The newest migration that was applied.
    pub version: Option<i64>,
    /// The oldest server that can live with it, as the migrations that this binary does not know declare;
    /// `None` when one of them declares nothing.
    pub oldest_server: Option<i64>,
}

impl Schema {
    /// The version; 0 for a database without one.
    pub fn known(&self) -> i64 {
        self.version.unwrap_or(0)
    }
}

/// Why this binary cannot run on the schema; `None` when it can.
pub fn describe_unfit(schema: &Schema) -> Option<String> {
    let version = schema.known();
    if version < REQUIRED_SCHEMA_VERSION {
        return Some(format!(
            "the schema is at version {version}, version {REQUIRED_SCHEMA_VERSION} is needed; run `latchkey-server migrate`"
        ));
    }
    match schema.oldest_server {
        Some(oldest) if oldest <= REQUIRED_SCHEMA_VERSION => None,
        Some(oldest) => Some(format!(
            "the schema is at version {version}, which only servers that know version {oldest} can use; this one knows version {REQUIRED_SCHEMA_VERSION}"
        )),
        None => Some(format!(
            "the schema is at version {version}, and nothing says that a server that knows version {REQUIRED_SCHEMA_VERSION} can use it"
        )),
    }
}

pub(super) async fn fetch_schema(pool: &Pool) -> Result<Schema, StoreError> {
    let applied = exists(pool, "_sqlx_migrations").await?;
    let version: Option<i64> = if applied {
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success").fetch_one(pool).await?
    } else {
        None
    };
    let oldest_server = match version {
        Some(version) if version > REQUIRED_SCHEMA_VERSION => fetch_oldest_server(pool).await?,
        _ => Some(0),
    };
    Ok(Schema { version, oldest_server })
}

/// By the migrations that this binary does not know; `None` when one of them declares nothing.
async fn fetch_oldest_server(pool: &Pool) -> Result<Option<i64>, StoreError> {
    if !exists(pool, "schema_tolerance").await? {
        return Ok(None);
    }
    Ok(sqlx::query_scalar(
        "SELECT CASE WHEN bool_and(oldest_server IS NOT NULL) THEN max(oldest_server) END
         FROM _sqlx_migrations LEFT JOIN schema_tolerance USING (version)
         WHERE success AND version > $1",
    )
    .bind(REQUIRED_SCHEMA_VERSION)
    .fetch_one(pool)
    .await?)
}

pub(super) async fn fetch_applied(pool: &Pool) -> Result<BTreeSet<i64>, StoreError> {
    if !exists(pool, "_sqlx_migrations").await? {
        return Ok(BTreeSet::new());
    }
    let versions: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(pool).await?;
    Ok(versions.into_iter().collect())
}

/// The number of the oldest server that is connected to this database. PostgreSQL shows the name of everybody's
/// connections to everybody; servers from before they had numbers count as 1.
pub(super) async fn fetch_oldest_running(pool: &Pool) -> Result<Option<i64>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT application_name FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'latchkey-server%'",
    )
    .fetch_all(pool)
    .await?;
    Ok(names.iter().map(|name| decide_number(name)).min())
}

fn decide_number(application: &str) -> i64 {
    // What follows the number tells replicas apart.
    let number = |rest: &str| rest.split('/').next().and_then(|number| number.parse().ok());
    application.strip_prefix(SERVER_APPLICATION).and_then(number).unwrap_or(1)
}

/// Writes the declarations of this binary's migrations down.
pub(super) async fn declare(pool: &Pool) -> Result<(), StoreError> {
    let mut transaction = pool.begin().await?;
    // Two that make the table at once would fail, in spite of IF NOT EXISTS.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('latchkey.schema_tolerance'))")
        .execute(&mut *transaction)
        .await?;
    // Not a migration: what a migration means must be known before it is applied, the first one's included.
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS schema_tolerance (
             version       bigint PRIMARY KEY,
             oldest_server bigint NOT NULL)",
    )
    .execute(&mut *transaction)
    .await?;
    let (versions, oldest): (Vec<i64>, Vec<i64>) = OLDEST_SERVERS.into_iter().unzip();
    sqlx::query(
        "INSERT INTO schema_tolerance (version, oldest_server) SELECT * FROM unnest($1::bigint[], $2::bigint[])
         ON CONFLICT (version) DO NOTHING",
    )
    .bind(versions)
    .bind(oldest)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

async fn exists(pool: &Pool, table: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(pool).await?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_server_runs_on_what_it_knows_and_on_what_is_declared_to_be_fit_for_it(
            version in 0_i64..6, oldest in prop::option::of(0_i64..6),
        ) {
            // What is asked of the database says nothing where this binary knows the schema itself.
            let oldest_server = if version > REQUIRED_SCHEMA_VERSION { oldest } else { Some(0) };
            let fits = describe_unfit(&Schema { version: Some(version), oldest_server }).is_none();
            let declared = oldest.is_some_and(|oldest| oldest <= REQUIRED_SCHEMA_VERSION);
            let expected = version == REQUIRED_SCHEMA_VERSION || (version > REQUIRED_SCHEMA_VERSION && declared);
            prop_assert_eq!(fits, expected);
        }
    }

    #[test]
    fn a_server_without_a_number_is_an_old_one() {
        assert_eq!(decide_number("latchkey-server/7"), 7);
        assert_eq!(decide_number("latchkey-server/7/0badcafe"), 7);
        assert_eq!(decide_number("latchkey-server"), 1);
        assert_eq!(decide_number("latchkey-server/x"), 1);
    }
}

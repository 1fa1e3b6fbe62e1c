//! How many connections the database allows, and how many replicas share them.

use uuid::Uuid;

use super::schema_version::application_name;
use super::{Store, StoreError};

/// The connections that the database allows to this server's user, and the replicas that use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct ConnectionLimit {
    /// `max_connections` without what is reserved for others, or a lower limit of the database or the user.
    pub limit: i64,
    /// The replicas that are connected now.
    pub replicas: i64,
}

impl ConnectionLimit {
    /// One sentence when the pools of all replicas may need more connections than the database allows.
    pub fn describe_excess(self, pool_size: u32) -> Option<String> {
        let replicas = self.replicas.max(1);
        let needed = replicas.saturating_mul(i64::from(pool_size));
        let pools = if replicas == 1 { "replica" } else { "replicas" };
        (needed > self.limit).then(|| {
            format!(
                "{replicas} {pools} with DATABASE_POOL_SIZE={pool_size} may open {needed} connections, and the database allows {}: lower DATABASE_POOL_SIZE or raise max_connections",
                self.limit
            )
        })
    }
}

/// The application name of the connections of one replica, so that replicas can be counted.
pub(super) fn replica_name() -> String {
    format!("{}/{:08x}", application_name(), Uuid::new_v4().as_fields().0)
}

impl Store {
    /// Reads the limit and counts the replicas. `None` behind a connection pooler, which has a limit of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn connection_limit(&self) -> Result<Option<ConnectionLimit>, StoreError> {
        let limit = sqlx::query_as(
            "SELECT least(
                        current_setting('max_connections')::bigint
                            - current_setting('superuser_reserved_connections')::bigint
                            - coalesce(nullif(current_setting('reserved_connections', true), '')::bigint, 0),
                        (SELECT nullif(datconnlimit, -1)::bigint FROM pg_database WHERE datname = current_database()),
                        (SELECT nullif(rolconnlimit, -1)::bigint FROM pg_roles WHERE rolname = current_user)
                    ) AS limit,
                    (SELECT count(DISTINCT application_name) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name LIKE 'latchkey-server/%/%')
                        AS replicas",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((!self.is_behind_pooler()).then_some(limit))
    }

    /// The largest number of connections of this replica.
    pub fn max_connections(&self) -> u32 {
        self.pool.max_connections()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pools_of_all_replicas_are_compared_with_the_limit() {
        let limit = |limit, replicas| ConnectionLimit { limit, replicas };
        for (given, pool_size, exceeds) in [
            (limit(97, 3), 20, false),
            (limit(60, 3), 20, false),
            (limit(59, 3), 20, true),
            (limit(97, 0), 97, false),
            (limit(97, 0), 98, true),
            (limit(0, 1), 4, true),
        ] {
            assert_eq!(given.describe_excess(pool_size).is_some(), exceeds, "{given:?} {pool_size}");
        }
    }
}

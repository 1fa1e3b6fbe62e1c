//! What a registered client may get for a person: the scopes of the session, and the groups.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Store, StoreError};

/// Which groups of an account are read.
#[derive(Debug, Clone)]
pub struct GroupsQuery {
    /// The number of names, in the order of the names.
    pub limit: i64,
    /// Names that are looked for besides, in lower case.
    pub among: Vec<String>,
}

/// The groups of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonGroups {
    /// Their names, in the order of the names, as many as were asked for.
    pub names: Vec<String>,
    /// Those of the names that were looked for in which the account is, in lower case.
    pub among: HashSet<String>,
}

/// A session and the groups of its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonGrant {
    /// The scopes that the session has; `None` if there is no active session.
    pub scopes: Option<Vec<String>>,
    pub groups: PersonGroups,
}

impl Store {
    /// Reads the groups of an account and the scopes of its session, if one is given: a session that did not begin with a
    /// registered client has none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer, [`StoreError::ReadOnly`] when a standby does.
    pub async fn find_person_grant(
        &self,
        user_id: i64,
        session_id: Option<Uuid>,
        query: &GroupsQuery,
    ) -> Result<PersonGrant, StoreError> {
        let (names, among, scopes, is_stale): (Vec<String>, Vec<String>, Option<Vec<String>>, bool) =
            sqlx::query_as(
                "SELECT
                     ARRAY(SELECT name FROM memberships JOIN groups ON groups.id = group_id
                           WHERE user_id = $1 ORDER BY name COLLATE \"C\" LIMIT $2),
                     ARRAY(SELECT lower(name COLLATE \"C\") FROM memberships JOIN groups ON groups.id = group_id
                           WHERE user_id = $1 AND lower(name COLLATE \"C\") = ANY ($3)),
                     (SELECT coalesce(scopes, '{}') FROM sessions
                      WHERE id = $4 AND user_id = $1 AND ended_at IS NULL),
                     pg_is_in_recovery()",
            )
            .bind(user_id)
            .bind(query.limit)
            .bind(&query.among)
            .bind(session_id)
            .fetch_one(&self.pool)
            .await?;
        // A standby may not have heard of a removal from a group yet.
        if is_stale {
            return Err(StoreError::found_standby());
        }
        Ok(PersonGrant { scopes, groups: PersonGroups { names, among: among.into_iter().collect() } })
    }
}

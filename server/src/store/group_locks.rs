//! The permissions of accounts, which are those of their groups, and locks on groups.
//!
//! Few groups hold permissions, so that an account may be in many groups: the partial index leads to those that do. Groups
//! are locked by ascending id. Two transactions that hold a group in common and then both want to change it would deadlock, so
//! a transaction that changes a group locks it in its turn (`group_authority.rs`).

use std::collections::HashMap;

use super::pool::Connection;
use super::{Store, StoreError};
use crate::domain::Permissions;

/// Bounds of ids, both exclusive: every group. Ids begin with 1.
pub(super) const ANY_GROUP: (i64, i64) = (0, i64::MAX);

/// The permissions that these accounts have by groups whose ids are within the bounds; an account without any is missing. The
/// groups keep their permissions, and continue to exist, until the transaction ends. Call it after the rows of the accounts
/// are locked, which keeps them in their groups.
pub(super) async fn lock_permissions(
    connection: &mut Connection,
    user_ids: &[i64],
    (above, below): (i64, i64),
) -> Result<HashMap<i64, Permissions>, StoreError> {
    let rows: Vec<(i64, Vec<String>)> = sqlx::query_as(
        "SELECT user_id, permissions FROM groups JOIN memberships ON group_id = groups.id
         WHERE user_id = ANY ($1) AND permissions <> '{}' AND groups.id > $2 AND groups.id < $3
         ORDER BY groups.id FOR SHARE OF groups",
    )
    .bind(user_ids)
    .bind(above)
    .bind(below)
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<i64, Permissions> = HashMap::new();
    for (user_id, names) in rows {
        found.entry(user_id).or_default().extend(Permissions::of_names(names));
    }
    Ok(found)
}

/// The permissions of an account at this moment.
pub(super) async fn fetch_permissions(
    connection: &mut Connection,
    user_id: i64,
) -> Result<Permissions, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT unnest(permissions) FROM groups JOIN memberships ON group_id = groups.id
         WHERE user_id = $1 AND permissions <> '{}'",
    )
    .bind(user_id)
    .fetch_all(connection)
    .await?;
    Ok(Permissions::of_names(names))
}

/// Keeps the groups of accounts, whose rows are locked and which are to be deleted, from being deleted meanwhile. Each deletion
/// deletes memberships: several of both kinds could otherwise wait for each other in a circle.
pub(super) async fn keep_groups_of(connection: &mut Connection, user_ids: &[i64]) -> Result<(), StoreError> {
    sqlx::query(
        // An array, since a join would read all groups.
        "SELECT FROM groups WHERE id = ANY (ARRAY(SELECT group_id FROM memberships WHERE user_id = ANY ($1)))
         ORDER BY id FOR KEY SHARE",
    )
    .bind(user_ids)
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// The permissions that an account has by its groups.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_permissions(&self, user_id: i64) -> Result<Permissions, StoreError> {
        let mut connection = self.pool.acquire().await?;
        fetch_permissions(&mut connection, user_id).await
    }
}

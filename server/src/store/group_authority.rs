//! Transactions that change a group or its members. Besides what every transaction of an administrator asserts, the
//! administrator must have every permission that the group holds: otherwise a group manager could obtain it by becoming a
//! member, or take it away from others.

use std::collections::HashMap;

use super::authority::{RowLock, Transaction, lock_administrator};
use super::group_locks::{ANY_GROUP, lock_permissions};
use super::groups::{Group, group_columns};
use super::pool::Connection;
use super::{Administrator, Store, StoreError};
use crate::domain::{GroupName, Permissions, Power};

/// The condition on the name is checked again when the statement has waited for the row: the group may have been renamed.
macro_rules! group_by_id {
    () => {
        concat!(
            "SELECT ",
            group_columns!(),
            " FROM groups WHERE id = $1 AND lower(name COLLATE \"C\") = lower($2 COLLATE \"C\")"
        )
    };
}

/// A transaction that changes a group.
pub(super) struct GroupTransaction {
    pub(super) transaction: Transaction,
    /// What the administrator may do.
    pub(super) power: Power,
    /// The group, whose row is locked; `None` if there is no such group.
    pub(super) group: Option<Group>,
    /// What the member may do; `None` if there is no such account, or if none was given.
    pub(super) member: Option<Power>,
}

impl RowLock {
    fn statement_for_group(self) -> &'static str {
        match self {
            Self::Share => concat!(group_by_id!(), " FOR SHARE"),
            Self::Change => concat!(group_by_id!(), " FOR NO KEY UPDATE"),
            Self::Remove => concat!(group_by_id!(), " FOR UPDATE"),
        }
    }
}

impl Store {
    /// Begins a transaction in which an administrator changes the group of this name, whose row is locked by the lock given
    /// with it, or its member, whose row is locked for a change.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotSuperuser`], [`StoreError::NotPermitted`]; [`StoreError::HoldsMore`]
    /// when the group holds permissions that the administrator does not have.
    pub(super) async fn begin_group_change(
        &self,
        administrator: &Administrator,
        (name, lock): (&GroupName, RowLock),
        member: Option<i64>,
    ) -> Result<GroupTransaction, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let target = member.map(|id| (id, RowLock::Change));
        let locked = lock_administrator(&mut transaction, administrator, target).await?;
        let actor = administrator.user_id();
        let id = find_id(&mut transaction, name).await?;
        let (mut permissions, group) = if locked.needs_permissions(administrator) {
            let users: Vec<i64> = actor.into_iter().chain(member).collect();
            lock_in_turn(&mut transaction, &users, (name, id, lock)).await?
        } else {
            (HashMap::new(), lock_group(&mut transaction, (name, id, lock)).await?)
        };
        let member_power = locked.power_of_other(&permissions);
        let power = locked.power(actor.and_then(|id| permissions.remove(&id)));
        administrator.right.check(&power)?;
        if group.as_ref().is_some_and(|group| !power.covers_group(&group.permissions())) {
            return Err(StoreError::HoldsMore);
        }
        let member = member_power.or_else(|| locked.has_target().then(|| power.clone()));
        Ok(GroupTransaction { transaction, power, group, member })
    }
}

async fn find_id(connection: &mut Connection, name: &GroupName) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT id FROM groups WHERE lower(name COLLATE \"C\") = lower($1 COLLATE \"C\")";
    Ok(sqlx::query_scalar(sql).bind(name.as_str()).fetch_optional(connection).await?)
}

async fn lock_group(
    connection: &mut Connection,
    (name, id, lock): (&GroupName, Option<i64>, RowLock),
) -> Result<Option<Group>, StoreError> {
    let Some(id) = id else { return Ok(None) };
    let query = sqlx::query_as(lock.statement_for_group()).bind(id).bind(name.as_str());
    Ok(query.fetch_optional(connection).await?)
}

/// Locks the group and those by which the accounts have permissions, by ascending id. Returns the permissions of the accounts.
async fn lock_in_turn(
    connection: &mut Connection,
    users: &[i64],
    (name, id, lock): (&GroupName, Option<i64>, RowLock),
) -> Result<(HashMap<i64, Permissions>, Option<Group>), StoreError> {
    let Some(turn) = id else {
        return Ok((lock_permissions(connection, users, ANY_GROUP).await?, None));
    };
    let mut permissions = lock_permissions(connection, users, (ANY_GROUP.0, turn)).await?;
    let group = lock_group(connection, (name, id, lock)).await?;
    if let Some(group) = group.as_ref().filter(|group| !group.permissions.is_empty()) {
        let sql = "SELECT user_id FROM memberships WHERE group_id = $1 AND user_id = ANY ($2)";
        let members: Vec<i64> =
            sqlx::query_scalar(sql).bind(turn).bind(users).fetch_all(&mut *connection).await?;
        for user_id in members {
            permissions.entry(user_id).or_default().extend(group.permissions());
        }
    }
    for (user_id, more) in lock_permissions(connection, users, (turn, ANY_GROUP.1)).await? {
        permissions.entry(user_id).or_default().extend(more);
    }
    Ok((permissions, group))
}

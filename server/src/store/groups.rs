//! Groups: each method is one transaction, with its audit event.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::QueryBuilder;

use super::audit::insert_event;
use super::authority::RowLock;
use super::{Administrator, Store, StoreError};
use crate::domain::{
    AuditEvent, AuditKind, GroupDescription, GroupName, NamePrefix, Origin, Outcome, Permissions,
};

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Group {
    pub id: i64,
    /// Its name as it was given.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// The names of the permissions of its members; a newer server may know some that this one does not.
    pub permissions: Vec<String>,
    pub created_at: DateTime<Utc>,
}

impl Group {
    pub(super) fn permissions(&self) -> Permissions {
        Permissions::of_names(self.permissions.iter().cloned())
    }
}

/// The columns of a [`Group`].
macro_rules! group_columns {
    () => {
        "groups.id, groups.name, groups.description, groups.permissions, groups.created_at"
    };
}
pub(super) use group_columns;

/// A group to be created.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// Unique without regard to case.
    pub name: GroupName,
    pub description: GroupDescription,
    /// Only superusers may grant any.
    pub permissions: Permissions,
}

/// A change of a group; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default)]
pub struct GroupChange {
    pub name: Option<GroupName>,
    pub description: Option<GroupDescription>,
    /// All permissions that it is to hold. Only superusers may change them.
    pub permissions: Option<Permissions>,
}

/// Which groups, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupQuery {
    /// Whose name begins so.
    pub prefix: Option<NamePrefix>,
    /// Only those with a greater id.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

impl Store {
    /// Creates a group.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken; [`StoreError::NotSuperuser`] when somebody else grants permissions.
    pub async fn create_group<'a>(
        &self,
        new: &NewGroup,
        administrator: &Administrator,
        origin: &'a Origin,
    ) -> Result<(Group, AuditEvent<'a>), StoreError> {
        let (mut transaction, power) = self.begin_with_power(administrator, None).await?;
        if !new.permissions.is_empty() && !power.is_superuser {
            return Err(StoreError::NotSuperuser);
        }
        let group: Group = sqlx::query_as(concat!(
            "INSERT INTO groups (name, description, permissions) VALUES ($1, $2, $3) RETURNING ",
            group_columns!()
        ))
        .bind(new.name.as_str())
        .bind(new.description.as_str())
        .bind(new.permissions.names().collect::<Vec<_>>())
        .fetch_one(&mut *transaction)
        .await?;
        let event = group_event(administrator, AuditKind::GroupCreated, &group, origin)
            .with(json!({ "group": group.name, "group_id": group.id, "permissions": group.permissions }));
        insert_event(&mut transaction, &event).await?;
        administrator.commit(transaction).await?;
        Ok((group, event))
    }

    /// Changes a group; `None` if there is none of this name. The event is `None` when nothing changed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the new name is taken; [`StoreError::HoldsMore`]; [`StoreError::NotSuperuser`] when
    /// somebody else grants or withdraws permissions.
    pub async fn change_group<'a>(
        &self,
        name: &GroupName,
        change: &GroupChange,
        administrator: &Administrator,
        origin: &'a Origin,
    ) -> Result<Option<(Group, Option<AuditEvent<'a>>)>, StoreError> {
        let locked = self.begin_group_change(administrator, (name, RowLock::Change), None).await?;
        let Some(old) = locked.group else { return Ok(None) };
        let mut transaction = locked.transaction;
        let regrants =
            change.permissions.as_ref().is_some_and(|permissions| *permissions != old.permissions());
        if regrants && !locked.power.is_superuser {
            return Err(StoreError::NotSuperuser);
        }
        let group: Group = sqlx::query_as(concat!(
            "UPDATE groups SET name = coalesce($2, name), description = coalesce($3, description),
                               permissions = coalesce($4, permissions)
             WHERE id = $1 RETURNING ",
            group_columns!()
        ))
        .bind(old.id)
        .bind(change.name.as_ref().map(GroupName::as_str))
        .bind(change.description.as_ref().map(GroupDescription::as_str))
        .bind(change.permissions.as_ref().map(|permissions| permissions.names().collect::<Vec<_>>()))
        .fetch_one(&mut *transaction)
        .await?;
        let event = describe_change(&old, &group)
            .map(|detail| group_event(administrator, AuditKind::GroupChanged, &group, origin).with(detail));
        if let Some(event) = &event {
            insert_event(&mut transaction, event).await?;
        }
        administrator.commit(transaction).await?;
        Ok(Some((group, event)))
    }

    /// Deletes a group, whose members stay; `None` if there is none of this name.
    ///
    /// # Errors
    /// [`StoreError::HoldsMore`]
    pub async fn delete_group<'a>(
        &self,
        name: &GroupName,
        administrator: &Administrator,
        origin: &'a Origin,
    ) -> Result<Option<AuditEvent<'a>>, StoreError> {
        let locked = self.begin_group_change(administrator, (name, RowLock::Remove), None).await?;
        let Some(group) = locked.group else { return Ok(None) };
        let mut transaction = locked.transaction;
        let members = sqlx::query("DELETE FROM memberships WHERE group_id = $1")
            .bind(group.id)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        sqlx::query("DELETE FROM groups WHERE id = $1").bind(group.id).execute(&mut *transaction).await?;
        let detail = json!({
            "group": group.name, "group_id": group.id, "permissions": group.permissions, "members": members,
        });
        let event = group_event(administrator, AuditKind::GroupDeleted, &group, origin).with(detail);
        insert_event(&mut transaction, &event).await?;
        administrator.commit(transaction).await?;
        Ok(Some(event))
    }

    /// The group of this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_group(
        &self,
        name: &GroupName,
        administrator: &Administrator,
    ) -> Result<Option<Group>, StoreError> {
        let mut reading = self.read_as_administrator(administrator).await?;
        let found = sqlx::query_as(concat!(
            "SELECT ",
            group_columns!(),
            " FROM groups WHERE lower(name COLLATE \"C\") = lower($1 COLLATE \"C\")"
        ))
        .bind(name.as_str())
        .fetch_optional(reading.connection())
        .await?;
        reading.finish(found).await
    }

    /// A page of groups, by id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn list_groups(
        &self,
        query: &GroupQuery,
        administrator: &Administrator,
    ) -> Result<Vec<Group>, StoreError> {
        let mut reading = self.read_as_administrator(administrator).await?;
        let mut sql = QueryBuilder::new(concat!("SELECT ", group_columns!(), " FROM groups WHERE id > "));
        sql.push_bind(query.after.unwrap_or(i64::MIN));
        // A range, as in the search of accounts.
        if let Some(prefix) = &query.prefix {
            sql.push(" AND lower(name COLLATE \"C\") >= ").push_bind(prefix.from.clone());
            if let Some(below) = &prefix.below {
                sql.push(" AND lower(name COLLATE \"C\") < ").push_bind(below.clone());
            }
        }
        sql.push(" ORDER BY id LIMIT ").push_bind(query.limit);
        let found = sql.build_query_as().fetch_all(reading.connection()).await?;
        reading.finish(found).await
    }
}

/// The event of a change of a group by an administrator. Later readers cannot tell from the id alone which group it was.
fn group_event<'a>(
    administrator: &Administrator,
    kind: AuditKind,
    group: &Group,
    origin: &'a Origin,
) -> AuditEvent<'a> {
    administrator.attribute(AuditEvent {
        kind,
        outcome: Outcome::Success,
        actor_id: None,
        user_id: None,
        session_id: None,
        origin: Some(origin),
        detail: json!({ "group": group.name, "group_id": group.id }),
    })
}

/// The changed fields. `None` when nothing changed.
fn describe_change(old: &Group, new: &Group) -> Option<serde_json::Value> {
    let fields = [
        ("name", old.name != new.name),
        ("description", old.description != new.description),
        ("permissions", old.permissions() != new.permissions()),
    ];
    let changed: Vec<_> = fields.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect();
    if changed.is_empty() {
        return None;
    }
    let mut detail = json!({ "group": new.name, "group_id": new.id, "changed": changed });
    if old.name != new.name {
        detail["former_name"] = old.name.as_str().into();
    }
    if old.permissions() != new.permissions() {
        detail["permissions"] = json!(new.permissions);
        detail["former_permissions"] = json!(old.permissions);
    }
    Some(detail)
}

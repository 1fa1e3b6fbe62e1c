//! The members of groups.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::administration::event_by;
use super::audit::insert_event;
use super::authority::RowLock;
use super::groups::{Group, group_columns};
use super::sessions::end_sessions_of;
use super::{Administrator, EndedSessions, Store, StoreError};
use crate::domain::{AuditEvent, AuditKind, GroupName, Origin};

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Member {
    /// The id of the account.
    pub id: i64,
    pub username: String,
    /// The person's name.
    pub name: String,
    /// Whether the account may log in.
    pub is_active: bool,
    /// When the account became a member.
    pub since: DateTime<Utc>,
}

/// Which members or groups, and how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MembershipQuery {
    /// Only those with a greater id.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// The outcome of a change of a membership.
#[derive(Debug)]
pub enum MembershipOutcome<T> {
    Done(T),
    UnknownGroup,
    UnknownAccount,
}

/// What removing a member did.
#[derive(Debug)]
pub struct RemovedMember<'a> {
    /// The audit events: of the membership, if there was one, and of the sessions, if any ended.
    pub events: Vec<AuditEvent<'a>>,
    /// The sessions to announce.
    pub revoked: EndedSessions,
}

impl Store {
    /// Makes an account a member of a group. The event is `None` when it was one already.
    ///
    /// # Errors
    /// [`StoreError::HoldsMore`]
    pub async fn add_member<'a>(
        &self,
        (name, user_id): (&GroupName, i64),
        administrator: &Administrator,
        origin: &'a Origin,
    ) -> Result<MembershipOutcome<Option<AuditEvent<'a>>>, StoreError> {
        let locked = self.begin_group_change(administrator, (name, RowLock::Share), Some(user_id)).await?;
        let Some(group) = locked.group else { return Ok(MembershipOutcome::UnknownGroup) };
        if locked.member.is_none() {
            return Ok(MembershipOutcome::UnknownAccount);
        }
        let mut transaction = locked.transaction;
        let added =
            sqlx::query("INSERT INTO memberships (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(group.id)
                .bind(user_id)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        if added == 0 {
            return Ok(MembershipOutcome::Done(None));
        }
        let event = event_by(administrator, AuditKind::GroupMemberAdded, user_id, origin)
            .with(json!({ "group": group.name, "group_id": group.id }));
        insert_event(&mut transaction, &event).await?;
        administrator.commit(transaction).await?;
        Ok(MembershipOutcome::Done(Some(event)))
    }

    /// Removes an account from a group, and ends its sessions if `end_sessions` is set, whether or not it was a member:
    /// a repeated request does what the first one was asked to do.
    ///
    /// # Errors
    /// [`StoreError::HoldsMore`], also when the account whose sessions are to end may do something that the administrator may
    /// not.
    pub async fn remove_member<'a>(
        &self,
        (name, user_id): (&GroupName, i64),
        end_sessions: bool,
        administrator: &Administrator,
        origin: &'a Origin,
    ) -> Result<MembershipOutcome<RemovedMember<'a>>, StoreError> {
        let locked = self.begin_group_change(administrator, (name, RowLock::Share), Some(user_id)).await?;
        let Some(group) = locked.group else { return Ok(MembershipOutcome::UnknownGroup) };
        let Some(member) = locked.member else { return Ok(MembershipOutcome::UnknownAccount) };
        if end_sessions && !locked.power.covers_account(&member) {
            return Err(StoreError::HoldsMore);
        }
        let mut transaction = locked.transaction;
        let mut events = Vec::new();
        let removed = sqlx::query("DELETE FROM memberships WHERE group_id = $1 AND user_id = $2")
            .bind(group.id)
            .bind(user_id)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        if removed > 0 {
            let event = event_by(administrator, AuditKind::GroupMemberRemoved, user_id, origin);
            events.push(event.with(json!({ "group": group.name, "group_id": group.id })));
        }
        let revoked = if end_sessions {
            let ended = end_sessions_of(&mut transaction, user_id, None).await?;
            if !ended.is_empty() {
                let event = event_by(administrator, AuditKind::UserSessionsEnded, user_id, origin);
                events.push(event.with(ended.audit_detail()));
            }
            self.recent_ends_in(&mut transaction, user_id).await?
        } else {
            EndedSessions::none(user_id)
        };
        for event in &events {
            insert_event(&mut transaction, event).await?;
        }
        administrator.commit(transaction).await?;
        Ok(MembershipOutcome::Done(RemovedMember { events, revoked }))
    }

    /// A page of the members of a group, by the id of the account; `None` if there is no such group.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn list_members(
        &self,
        name: &GroupName,
        query: MembershipQuery,
        administrator: &Administrator,
    ) -> Result<Option<Vec<Member>>, StoreError> {
        let mut reading = self.read_as_administrator(administrator).await?;
        let id: Option<i64> = sqlx::query_scalar(
            "SELECT id FROM groups WHERE lower(name COLLATE \"C\") = lower($1 COLLATE \"C\")",
        )
        .bind(name.as_str())
        .fetch_optional(reading.connection())
        .await?;
        let Some(id) = id else { return reading.finish(None).await };
        let found = sqlx::query_as(
            "SELECT users.id, username, name, is_active, memberships.created_at AS since
             FROM memberships JOIN users ON users.id = user_id
             WHERE group_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
        )
        .bind(id)
        .bind(query.after.unwrap_or(i64::MIN))
        .bind(query.limit)
        .fetch_all(reading.connection())
        .await?;
        reading.finish(Some(found)).await
    }

    /// Whether an account is in one of the groups of these names, whatever their case.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer, [`StoreError::ReadOnly`] when a standby does.
    pub async fn is_in_any_group(&self, user_id: i64, names: &[String]) -> Result<bool, StoreError> {
        let (is_member, is_stale): (bool, bool) = sqlx::query_as(
            "SELECT EXISTS (
                 SELECT FROM memberships JOIN groups ON groups.id = group_id
                 WHERE user_id = $1 AND lower(name COLLATE \"C\") = ANY ($2)), pg_is_in_recovery()",
        )
        .bind(user_id)
        .bind(names.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>())
        .fetch_one(&self.pool)
        .await?;
        // A standby may not have heard of a removal from a group yet.
        if is_stale { Err(StoreError::found_standby()) } else { Ok(is_member) }
    }

    /// A page of the groups of an account, by id; `None` if there is no such account.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn list_groups_of(
        &self,
        user_id: i64,
        query: MembershipQuery,
        administrator: &Administrator,
    ) -> Result<Option<Vec<Group>>, StoreError> {
        let mut reading = self.read_as_administrator(administrator).await?;
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM users WHERE id = $1)")
            .bind(user_id)
            .fetch_one(reading.connection())
            .await?;
        if !exists {
            return reading.finish(None).await;
        }
        let found = sqlx::query_as(concat!(
            "SELECT ",
            group_columns!(),
            " FROM memberships JOIN groups ON groups.id = group_id
             WHERE user_id = $1 AND group_id > $2 ORDER BY group_id LIMIT $3"
        ))
        .bind(user_id)
        .bind(query.after.unwrap_or(i64::MIN))
        .bind(query.limit)
        .fetch_all(reading.connection())
        .await?;
        reading.finish(Some(found)).await
    }
}

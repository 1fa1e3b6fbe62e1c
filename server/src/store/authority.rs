//! The authority of the actor of a transaction. Time passes between the check of an access token and the transaction that
//! it permits, for a password hash, a connection or a lock. So each transaction of an account asserts that the session
//! has not ended and that the account still has the right.
//!
//! The order of locks, which avoids deadlocks: rows of `users` by ascending id, then the row of the actor's session, then
//! the lock of a client's token (see `client_authority.rs`), then rows of `groups` by ascending id (see
//! `group_locks.rs`), then the lock of [`is_last_superuser`](super::superusers::is_last_superuser), then everything else.
//! A transaction that ends sessions of an account, or changes its groups, holds that account's row (logout and refresh
//! excepted, which lock one session and wait for nothing else).

use std::collections::HashMap;

use uuid::Uuid;

use super::client_authority::ClientActor;
use super::group_locks::{ANY_GROUP, fetch_permissions, lock_permissions};
use super::pool::Connection;
use super::session_cutoffs::not_cut_off;
use super::{Store, StoreError};
use crate::domain::{AuditEvent, Permission, Permissions, Power};

pub(super) use super::pool::Transaction;

/// The session of an account that changes or reads its own data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    pub user_id: i64,
    pub session_id: Uuid,
}

/// What an account needs to act on others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    Superuser,
    /// Superusers have every permission.
    Permission(Permission),
}

impl Right {
    /// # Errors
    /// [`StoreError::NotSuperuser`], [`StoreError::NotPermitted`]
    pub(super) fn check(self, power: &Power) -> Result<(), StoreError> {
        match self {
            Self::Superuser if !power.is_superuser => Err(StoreError::NotSuperuser),
            Self::Permission(permission) if !power.includes(permission) => {
                Err(StoreError::NotPermitted(permission))
            }
            _ => Ok(()),
        }
    }
}

/// Who administers.
#[derive(Debug, Clone)]
pub enum Agent {
    Account(Actor),
    Client(ClientActor),
}

/// An agent that must have a right.
#[derive(Debug, Clone)]
pub struct Administrator {
    pub agent: Agent,
    pub right: Right,
}

impl Administrator {
    /// The account that administers; `None` if a client does.
    pub(super) fn user_id(&self) -> Option<i64> {
        match &self.agent {
            Agent::Account(actor) => Some(actor.user_id),
            Agent::Client(_) => None,
        }
    }

    /// Sets the actor of an audit event.
    pub fn attribute<'a>(&self, event: AuditEvent<'a>) -> AuditEvent<'a> {
        match &self.agent {
            Agent::Account(actor) => event.by(actor.user_id),
            Agent::Client(actor) => event.by_client(actor.client.as_str()),
        }
    }

    /// Commits a transaction that was begun for this administrator. The right of an account is locked; that of a client is
    /// asserted once more, since another registry may have been loaded.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotPermitted`]: then nothing was changed.
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<(), StoreError> {
        if let Agent::Client(actor) = &self.agent {
            let permissions = actor.permissions()?;
            self.right.check(&Power { is_superuser: false, permissions })?;
        }
        Ok(transaction.commit().await?)
    }
}

/// How a row of `users` or `groups` is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowLock {
    /// Against changes: an account cannot be deactivated, demoted, deleted or moved between groups until the transaction ends.
    Share,
    /// For a change, or for ending the sessions of an account.
    Change,
    /// For a deletion.
    Remove,
}

impl RowLock {
    fn statement(self) -> &'static str {
        match self {
            Self::Share => "SELECT is_active, is_superuser FROM users WHERE id = $1 FOR SHARE",
            Self::Change => "SELECT is_active, is_superuser FROM users WHERE id = $1 FOR NO KEY UPDATE",
            Self::Remove => "SELECT is_active, is_superuser FROM users WHERE id = $1 FOR UPDATE",
        }
    }
}

/// The facts in the row of an account that decide its right.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(super) struct Standing {
    is_active: bool,
    pub(super) is_superuser: bool,
}

impl Store {
    /// Begins a transaction in which `actor` changes its own account, whose row is locked by `lock`. The session stays
    /// active until the transaction ends: a concurrent logout either waits or is seen.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]
    pub(super) async fn begin_as(&self, actor: Actor, lock: RowLock) -> Result<Transaction, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let standing = lock_user(&mut transaction, actor.user_id, lock).await?;
        check_session(&mut transaction, actor, standing).await?;
        Ok(transaction)
    }

    /// Begins a transaction in which an administrator changes `target`, whose row is locked by the lock given with it; an
    /// account that does not exist is left to the caller. Neither the administrator's session ends nor its right
    /// before the transaction does.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotSuperuser`], [`StoreError::NotPermitted`]; [`StoreError::HoldsMore`]
    /// when the target may do something that the administrator may not.
    pub(super) async fn begin_as_administrator(
        &self,
        administrator: &Administrator,
        target: Option<(i64, RowLock)>,
    ) -> Result<Transaction, StoreError> {
        Ok(self.begin_with_power(administrator, target).await?.0)
    }

    /// The same; also returns what the administrator may do.
    ///
    /// # Errors
    /// As [`Store::begin_as_administrator`].
    pub(super) async fn begin_with_power(
        &self,
        administrator: &Administrator,
        target: Option<(i64, RowLock)>,
    ) -> Result<(Transaction, Power), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let locked = lock_administrator(&mut transaction, administrator, target).await?;
        let users: Vec<i64> = administrator.user_id().into_iter().chain(target.map(|(id, _)| id)).collect();
        let mut permissions = if locked.needs_permissions(administrator) {
            lock_permissions(&mut transaction, &users, ANY_GROUP).await?
        } else {
            HashMap::new()
        };
        let target_power = locked.power_of_other(&permissions);
        let power = locked.power(administrator.user_id().and_then(|id| permissions.remove(&id)));
        administrator.right.check(&power)?;
        if target_power.is_some_and(|target| !power.covers_account(&target)) {
            return Err(StoreError::HoldsMore);
        }
        Ok((transaction, power))
    }

    /// Takes a connection for reading the actor's own data.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub(super) async fn read_as(&self, actor: Actor) -> Result<Reading, StoreError> {
        Ok(Reading { connection: self.pool.acquire().await?, agent: Agent::Account(actor), right: None })
    }

    /// Takes a connection for reading the data of others.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub(super) async fn read_as_administrator(
        &self,
        Administrator { agent, right }: &Administrator,
    ) -> Result<Reading, StoreError> {
        let connection = self.pool.acquire().await?;
        Ok(Reading { connection, agent: agent.clone(), right: Some(*right) })
    }

    /// Asserts that the session and its account are active.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]
    pub async fn assert_goes_on(&self, actor: Actor) -> Result<(), StoreError> {
        self.read_as(actor).await?.finish(()).await
    }

    /// Asserts that the session is active and that its account is active and has the right.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotSuperuser`], [`StoreError::NotPermitted`]
    pub async fn assert_administers(&self, administrator: &Administrator) -> Result<(), StoreError> {
        self.read_as_administrator(administrator).await?.finish(()).await
    }
}

/// A read on behalf of an agent. The result is returned only after the right has been asserted, so that a logout that was
/// answered during the read is seen.
pub(super) struct Reading {
    connection: Connection,
    agent: Agent,
    right: Option<Right>,
}

impl Reading {
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Returns the result.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotSuperuser`], [`StoreError::NotPermitted`]
    pub(super) async fn finish<T>(mut self, found: T) -> Result<T, StoreError> {
        let power = match self.agent.clone() {
            Agent::Account(actor) => self.read_power(actor).await?,
            Agent::Client(actor) => {
                actor.check_token(self.connection()).await?;
                Power { is_superuser: false, permissions: actor.permissions()? }
            }
        };
        self.right.map_or(Ok(()), |right| right.check(&power))?;
        Ok(found)
    }

    /// What an account may do, as far as the right matters.
    async fn read_power(&mut self, actor: Actor) -> Result<Power, StoreError> {
        let standing: Option<Standing> = sqlx::query_as(concat!(
            "SELECT is_active, is_superuser FROM users
             WHERE id = $2
               AND EXISTS (SELECT FROM sessions WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
            not_cut_off!(),
            ") AND NOT EXISTS (SELECT FROM revocations WHERE session_id = $1)"
        ))
        .bind(actor.session_id)
        .bind(actor.user_id)
        .fetch_optional(self.connection())
        .await?;
        let standing = standing.filter(|standing| standing.is_active).ok_or(StoreError::SessionOver)?;
        let is_superuser = standing.is_superuser;
        let needs_permissions = !is_superuser && matches!(self.right, Some(Right::Permission(_)));
        let permissions = if needs_permissions {
            fetch_permissions(self.connection(), actor.user_id).await?
        } else {
            Permissions::default()
        };
        Ok(Power { is_superuser, permissions })
    }
}

/// An administrator and the row of another account, which are locked.
pub(super) struct Locked {
    is_superuser: bool,
    /// What the administrator may do if it is a client.
    of_client: Option<Permissions>,
    /// `None` if there is none, or if it is the administrator's own.
    other: Option<(i64, Standing)>,
    has_target: bool,
}

impl Locked {
    /// Whether the permissions of groups matter: superusers need none, and nothing replaces the right of a superuser.
    pub(super) fn needs_permissions(&self, administrator: &Administrator) -> bool {
        !self.is_superuser && administrator.right != Right::Superuser
    }

    /// What the administrator may do, given the permissions of its groups.
    pub(super) fn power(&self, permissions: Option<Permissions>) -> Power {
        let permissions = self.of_client.clone().or(permissions).unwrap_or_default();
        Power { is_superuser: self.is_superuser, permissions }
    }

    /// What the other account may do, given the permissions of its groups; `None` if there is no other one.
    pub(super) fn power_of_other(&self, permissions: &HashMap<i64, Permissions>) -> Option<Power> {
        let (id, standing) = self.other?;
        let permissions = permissions.get(&id).cloned().unwrap_or_default();
        Some(Power { is_superuser: standing.is_superuser, permissions })
    }

    /// Whether the target exists; it may be the administrator.
    pub(super) fn has_target(&self) -> bool {
        self.has_target
    }
}

/// Locks the rows of the administrator and of `target`, and asserts that the administrator's session is active. The caller
/// checks the right.
///
/// # Errors
/// [`StoreError::SessionOver`]
pub(super) async fn lock_administrator(
    transaction: &mut Transaction,
    administrator: &Administrator,
    target: Option<(i64, RowLock)>,
) -> Result<Locked, StoreError> {
    let actor_id = administrator.user_id();
    let is_own = |id: i64| actor_id == Some(id);
    let mut rows: Vec<_> = target.into_iter().collect();
    // An account that changes itself is locked once: strengthening a lock later could deadlock with other holders.
    rows.extend(
        actor_id.filter(|id| target.is_none_or(|target| target.0 != *id)).map(|id| (id, RowLock::Share)),
    );
    rows.sort_unstable_by_key(|(id, _)| *id);
    let (mut own, mut other) = (None, None);
    for (id, lock) in rows {
        let found = lock_user(transaction, id, lock).await?;
        if is_own(id) {
            own = found;
        } else {
            other = found.map(|standing| (id, standing));
        }
    }
    let (is_superuser, of_client) = match &administrator.agent {
        Agent::Account(actor) => (check_session(transaction, *actor, own).await?.is_superuser, None),
        Agent::Client(actor) => {
            actor.lock_token(transaction).await?;
            (false, Some(actor.permissions()?))
        }
    };
    let has_target = other.is_some() || target.is_some_and(|(id, _)| is_own(id));
    Ok(Locked { is_superuser, of_client, other, has_target })
}

async fn lock_user(
    transaction: &mut Transaction,
    user_id: i64,
    lock: RowLock,
) -> Result<Option<Standing>, StoreError> {
    Ok(sqlx::query_as(lock.statement()).bind(user_id).fetch_optional(&mut **transaction).await?)
}

/// Asserts that the session and its account are active. Call it after the rows of `users` are locked, and before anything else
/// is checked: a caller without a session learns nothing else.
async fn check_session(
    transaction: &mut Transaction,
    actor: Actor,
    standing: Option<Standing>,
) -> Result<Standing, StoreError> {
    let locked: Option<bool> = sqlx::query_scalar(concat!(
        "SELECT true FROM sessions WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
        not_cut_off!(),
        "FOR SHARE OF sessions"
    ))
    .bind(actor.session_id)
    .bind(actor.user_id)
    .fetch_optional(&mut **transaction)
    .await?;
    // In a separate statement, which sees what was committed while this transaction waited for the lock.
    let revoked: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM revocations WHERE session_id = $1)")
        .bind(actor.session_id)
        .fetch_one(&mut **transaction)
        .await?;
    let standing = standing.filter(|standing| locked.is_some() && !revoked && standing.is_active);
    standing.ok_or(StoreError::SessionOver)
}

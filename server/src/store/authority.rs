//! The authority of the actor of a transaction. Time passes between the check of an access token and the transaction that it
//! permits, for a password hash, a connection or a lock. So each transaction of an account asserts that the session has not ended and that the account still has the right.
//!
//! The order of locks, which avoids deadlocks: rows of `users` by ascending id, then the row of the actor's session, then
//! the lock of [`is_last_superuser`](super::superusers::is_last_superuser), then
//! everything else. A transaction that ends sessions of an account holds that account's row (logout and refresh excepted,
//! which lock one session and wait for nothing else).

use uuid::Uuid;

use super::pool::Connection;
use super::session_cutoffs::not_cut_off;
use super::{Store, StoreError};

pub(super) use super::pool::Transaction;

/// The session of an account that changes or reads its own data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    pub user_id: i64,
    pub session_id: Uuid,
}

/// The session of an account that must be a superuser's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Administrator(pub Actor);

/// How a row of `users` is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowLock {
    /// Against changes: the account cannot be deactivated, demoted or deleted until the transaction ends.
    Share,
    /// For a change of the account, or for ending its sessions.
    Change,
    /// For its deletion.
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

/// The facts that decide the right of an account.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
struct Standing {
    is_active: bool,
    is_superuser: bool,
}

impl Standing {
    /// # Errors
    /// [`StoreError::SessionOver`] before [`StoreError::NotSuperuser`]: a caller without a session learns nothing else.
    fn check(self, must_be_superuser: bool) -> Result<(), StoreError> {
        if !self.is_active {
            return Err(StoreError::SessionOver);
        }
        if must_be_superuser && !self.is_superuser {
            return Err(StoreError::NotSuperuser);
        }
        Ok(())
    }
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
        check(&mut transaction, actor, standing, false).await?;
        Ok(transaction)
    }

    /// Begins a transaction in which a superuser changes `target`, whose row is locked by the lock given with it; an
    /// account that does not exist is left to the caller. Neither the administrator's session ends nor its right
    /// before the transaction does.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotSuperuser`]
    pub(super) async fn begin_as_administrator(
        &self,
        Administrator(actor): Administrator,
        target: Option<(i64, RowLock)>,
    ) -> Result<Transaction, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // An account that changes itself is locked once: strengthening a lock later could deadlock with other holders.
        let mut rows =
            vec![target.filter(|(id, _)| *id == actor.user_id).unwrap_or((actor.user_id, RowLock::Share))];
        rows.extend(target.filter(|(id, _)| *id != actor.user_id));
        rows.sort_unstable_by_key(|(id, _)| *id);
        let mut standing = None;
        for (id, lock) in rows {
            let found = lock_user(&mut transaction, id, lock).await?;
            if id == actor.user_id {
                standing = found;
            }
        }
        check(&mut transaction, actor, standing, true).await?;
        Ok(transaction)
    }

    /// Takes a connection for reading the actor's own data.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub(super) async fn read_as(&self, actor: Actor) -> Result<Reading, StoreError> {
        Ok(Reading { connection: self.pool.acquire().await?, actor, must_be_superuser: false })
    }

    /// Takes a connection for reading the data of superusers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub(super) async fn read_as_administrator(
        &self,
        Administrator(actor): Administrator,
    ) -> Result<Reading, StoreError> {
        Ok(Reading { connection: self.pool.acquire().await?, actor, must_be_superuser: true })
    }

    /// Asserts that the session and its account are active.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]
    pub async fn assert_goes_on(&self, actor: Actor) -> Result<(), StoreError> {
        self.read_as(actor).await?.finish(()).await
    }

    /// Asserts that the session is active and that its account is an active superuser's.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotSuperuser`]
    pub async fn assert_administers(&self, administrator: Administrator) -> Result<(), StoreError> {
        self.read_as_administrator(administrator).await?.finish(()).await
    }
}

/// A read on behalf of an account. The result is returned only after the right has been asserted, so that a logout that was
/// answered during the read is seen.
pub(super) struct Reading {
    connection: Connection,
    actor: Actor,
    must_be_superuser: bool,
}

impl Reading {
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Returns the result.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`], [`StoreError::NotSuperuser`]
    pub(super) async fn finish<T>(mut self, found: T) -> Result<T, StoreError> {
        let standing: Option<Standing> = sqlx::query_as(concat!(
            "SELECT is_active, is_superuser FROM users
             WHERE id = $2
               AND EXISTS (SELECT FROM sessions WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
            not_cut_off!(),
            ") AND NOT EXISTS (SELECT FROM revocations WHERE session_id = $1)"
        ))
        .bind(self.actor.session_id)
        .bind(self.actor.user_id)
        .fetch_optional(self.connection())
        .await?;
        standing.ok_or(StoreError::SessionOver)?.check(self.must_be_superuser)?;
        Ok(found)
    }
}

async fn lock_user(
    transaction: &mut Transaction,
    user_id: i64,
    lock: RowLock,
) -> Result<Option<Standing>, StoreError> {
    Ok(sqlx::query_as(lock.statement()).bind(user_id).fetch_optional(&mut **transaction).await?)
}

/// Call it after the rows of `users` are locked.
async fn check(
    transaction: &mut Transaction,
    actor: Actor,
    standing: Option<Standing>,
    must_be_superuser: bool,
) -> Result<(), StoreError> {
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
    let standing = standing.filter(|_| locked.is_some() && !revoked);
    standing.ok_or(StoreError::SessionOver)?.check(must_be_superuser)
}

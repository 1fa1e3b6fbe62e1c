//! Exchanging a refresh token.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::audit::insert_event;
use super::pool::{Deadlines, Transaction};
use super::session_cutoffs::not_cut_off;
use super::sessions::end_session_of_user;
use super::{RevokedSession, Store, StoreError};
use crate::domain::rotation::{Decision, GRACE, Generation, decide_rotation};
use crate::domain::{AuditEvent, AuditKind, Origin};

/// A presented refresh token, and the next generation that would replace it.
#[derive(Debug, Clone)]
pub struct RefreshRequest<'a> {
    /// `sid` of the token.
    pub session_id: Uuid,
    /// `sub` of the token.
    pub user_id: i64,
    /// `jti` of the token.
    pub jti: Uuid,
    /// `jti` of the next generation.
    pub next_jti: Uuid,
    /// When the new access token expires.
    pub access_expires_at: DateTime<Utc>,
    /// When the next generation expires.
    pub refresh_expires_at: DateTime<Utc>,
    pub origin: &'a Origin,
}

/// The outcome of an exchange.
#[derive(Debug)]
pub enum RefreshOutcome<'a> {
    /// Sign a refresh token with this id and expiry, and an access token.
    Granted {
        username: String,
        /// `jti` of the current generation.
        jti: Uuid,
        /// When the current generation expires.
        refresh_expires_at: DateTime<Utc>,
    },
    /// The session has ended or does not exist, or the account is deactivated.
    Over,
    /// A token of an older generation: the session was ended.
    Theft {
        /// To be announced.
        revoked: Option<RevokedSession>,
        event: AuditEvent<'a>,
    },
}

impl Store {
    /// Decides about a presented refresh token while holding its session's row, so that of several concurrent
    /// exchanges one rotates and the others repeat its outcome.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer; nothing was changed then, or the change
    /// was committed and the token may be presented again within the grace period.
    pub async fn exchange_refresh_token<'a>(
        &self,
        request: &RefreshRequest<'a>,
    ) -> Result<RefreshOutcome<'a>, StoreError> {
        let RefreshRequest { next_jti: jti, refresh_expires_at, .. } = *request;
        match self.rotate_current(request).await? {
            Some(username) => Ok(RefreshOutcome::Granted { username, jti, refresh_expires_at }),
            None => self.decide_exchange(request).await,
        }
    }

    /// Rotates the token in one statement if it is the current one of an active session, and returns the username. `None`, and
    /// nothing done, in every other case, and when another transaction holds the session's row: this statement waits for
    /// nothing (docs/decisions/0030).
    async fn rotate_current(&self, request: &RefreshRequest<'_>) -> Result<Option<String>, StoreError> {
        // The parts of the statement share one snapshot. What was committed after it decides all the same: a lock or an
        // update of a row that has changed since evaluates the conditions on its newest version. `rotated` has the row of the
        // session locked, because it reads it from `session`.
        Ok(sqlx::query_scalar(concat!(
            "WITH session AS (
                 SELECT sessions.id, users.username
                 FROM sessions JOIN users ON users.id = sessions.user_id
                 WHERE sessions.id = $1 AND sessions.user_id = $2 AND sessions.ended_at IS NULL AND users.is_active",
            not_cut_off!(),
            "FOR UPDATE OF sessions SKIP LOCKED),
             rotated AS (
                 UPDATE refresh_tokens SET rotated_at = clock_timestamp() FROM session
                 WHERE jti = $3 AND session_id = session.id AND rotated_at IS NULL
                 RETURNING session_id, rotated_at, username),
             forgotten AS (
                 -- As in `rotate`.
                 DELETE FROM refresh_tokens USING rotated
                 WHERE refresh_tokens.session_id = $1 AND refresh_tokens.rotated_at < rotated.rotated_at - $7),
             issued AS (
                 INSERT INTO refresh_tokens (jti, session_id, issued_at, expires_at)
                 SELECT $4, session_id, rotated_at, $5 FROM rotated)
             UPDATE sessions
             -- An access token from before may live longer than the tokens of a client.
             SET last_used_at = rotated_at, expires_at = greatest($5, access_tokens_expire_at),
                 access_tokens_expire_at = greatest(access_tokens_expire_at, $6)
             FROM rotated WHERE sessions.id = $1
             RETURNING username"
        ))
        .bind(request.session_id)
        .bind(request.user_id)
        .bind(request.jti)
        .bind(request.next_jti)
        .bind(request.refresh_expires_at)
        .bind(request.access_expires_at)
        .bind(GRACE)
        .fetch_optional(&self.pool.with(Deadlines::LOCKING))
        .await?)
    }

    /// The decision in every case.
    async fn decide_exchange<'a>(
        &self,
        request: &RefreshRequest<'a>,
    ) -> Result<RefreshOutcome<'a>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let username: Option<String> = sqlx::query_scalar(concat!(
            "SELECT users.username
             FROM sessions JOIN users ON users.id = sessions.user_id
             WHERE sessions.id = $1 AND sessions.user_id = $2 AND sessions.ended_at IS NULL AND users.is_active",
            not_cut_off!(),
            "FOR UPDATE OF sessions"
        ))
        .bind(request.session_id)
        .bind(request.user_id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(username) = username else { return Ok(RefreshOutcome::Over) };
        // The clock is read after waiting for the lock. It is the database's clock, so that
        // replicas whose clocks differ agree on the grace period.
        let (now, generation) = fetch_generation(&mut transaction, request).await?;
        let (jti, refresh_expires_at) =
            match decide_rotation(generation, now) {
                Decision::Theft => {
                    let theft = end_stolen_session(&mut transaction, request).await?;
                    transaction.commit().await?;
                    return Ok(theft);
                }
                Decision::Rotate => {
                    rotate(&mut transaction, request, now).await?;
                    (request.next_jti, request.refresh_expires_at)
                }
                Decision::RepeatCurrent => sqlx::query_as::<_, (Uuid, DateTime<Utc>)>(
                    "SELECT jti, expires_at FROM refresh_tokens WHERE session_id = $1 AND rotated_at IS NULL",
                )
                .bind(request.session_id)
                .fetch_one(&mut *transaction)
                .await?,
            };
        sqlx::query(
            "UPDATE sessions SET last_used_at = $2, expires_at = greatest($3, access_tokens_expire_at),
                    access_tokens_expire_at = greatest(access_tokens_expire_at, $4)
             WHERE id = $1",
        )
        .bind(request.session_id)
        .bind(now)
        .bind(refresh_expires_at)
        .bind(request.access_expires_at)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(RefreshOutcome::Granted { username, jti, refresh_expires_at })
    }
}

impl Store {
    /// The username of the account whose current refresh token this is, while it could be exchanged. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_owner_of_refresh_token(
        &self,
        jti: Uuid,
        session_id: Uuid,
        user_id: i64,
    ) -> Result<Option<String>, StoreError> {
        let found: Option<(String, bool)> = sqlx::query_as(concat!(
            "SELECT users.username, pg_is_in_recovery()
             FROM refresh_tokens
                 JOIN sessions ON sessions.id = refresh_tokens.session_id
                 JOIN users ON users.id = sessions.user_id
             WHERE refresh_tokens.jti = $1 AND sessions.id = $2 AND users.id = $3
               AND refresh_tokens.rotated_at IS NULL AND refresh_tokens.expires_at > now()
               AND sessions.ended_at IS NULL AND users.is_active",
            not_cut_off!()
        ))
        .bind(jti)
        .bind(session_id)
        .bind(user_id)
        .fetch_optional(&self.pool)
        .await?;
        match found {
            // A standby may lag behind an exchange.
            Some((_, true)) => Err(StoreError::found_standby()),
            found => Ok(found.map(|(username, _)| username)),
        }
    }
}

async fn fetch_generation(
    transaction: &mut Transaction,
    request: &RefreshRequest<'_>,
) -> Result<(DateTime<Utc>, Generation), StoreError> {
    let (now, known, rotated_at): (DateTime<Utc>, bool, Option<DateTime<Utc>>) = sqlx::query_as(
        "SELECT clock_timestamp(), jti IS NOT NULL, rotated_at
         FROM (SELECT) AS one LEFT JOIN refresh_tokens ON jti = $1 AND session_id = $2",
    )
    .bind(request.jti)
    .bind(request.session_id)
    .fetch_one(&mut **transaction)
    .await?;
    let generation = match (known, rotated_at) {
        (false, _) => Generation::Forgotten,
        (true, Some(at)) => Generation::Rotated(at),
        (true, None) => Generation::Current,
    };
    Ok((now, generation))
}

async fn rotate(
    transaction: &mut Transaction,
    request: &RefreshRequest<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // What was rotated before the grace period is forgotten, which is as good as being known as rotated.
    sqlx::query("DELETE FROM refresh_tokens WHERE session_id = $1 AND rotated_at < $2")
        .bind(request.session_id)
        .bind(now - GRACE)
        .execute(&mut **transaction)
        .await?;
    sqlx::query("UPDATE refresh_tokens SET rotated_at = $2 WHERE jti = $1")
        .bind(request.jti)
        .bind(now)
        .execute(&mut **transaction)
        .await?;
    sqlx::query(
        "INSERT INTO refresh_tokens (jti, session_id, issued_at, expires_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(request.next_jti)
    .bind(request.session_id)
    .bind(now)
    .bind(request.refresh_expires_at)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The row of the session is locked, and the session has not ended.
async fn end_stolen_session<'a>(
    transaction: &mut Transaction,
    request: &RefreshRequest<'a>,
) -> Result<RefreshOutcome<'a>, StoreError> {
    let revoked = end_session_of_user(transaction, request.session_id, request.user_id).await?;
    let event = AuditEvent {
        actor_id: None,
        ..AuditEvent::own(AuditKind::RefreshTokenReused, request.user_id, request.origin)
    };
    let event = event.refused().in_session(request.session_id).with(json!({ "jti": request.jti }));
    insert_event(transaction, &event).await?;
    Ok(RefreshOutcome::Theft { revoked, event })
}

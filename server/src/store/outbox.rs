//! The outbox: mail that is to be sent, at least once.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Store, StoreError};

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailKind {
    /// The link to choose a new password.
    PasswordRecovery,
    /// Notice that the password was changed.
    PasswordChanged,
}

impl MailKind {
    /// The name in the table and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordRecovery => "password_recovery",
            Self::PasswordChanged => "password_changed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::PasswordRecovery, Self::PasswordChanged].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A message whose turn it is; this replica holds a lease on it.
#[derive(Debug, Clone)]
pub struct DueMail {
    /// Its row.
    pub id: i64,
    /// What it says.
    pub kind: MailKind,
    /// To whom.
    pub recipient: String,
    /// How often it was tried before.
    pub attempts: i32,
    /// How long it has been waiting.
    pub age: TimeDelta,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    kind: String,
    recipient: String,
    attempts: i32,
    age_seconds: f64,
}

/// How much mail there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct OutboxCounts {
    /// Waiting or being sent.
    pub pending: i64,
    /// Given up.
    pub dead: i64,
}

impl Store {
    /// Asks for a message. Whether an account has the address is found out when it is sent, so that asking
    /// takes the same time either way.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn enqueue_mail(&self, kind: MailKind, recipient: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO outbox (kind, recipient) VALUES ($1, $2)")
            .bind(kind.as_str())
            .bind(recipient)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes up to `limit` due messages. They are due again after `lease`, should this replica die meanwhile;
    /// other replicas pass over them until then.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn claim_due_mail(&self, limit: i64, lease: Duration) -> Result<Vec<DueMail>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "UPDATE outbox SET next_attempt_at = now() + $2
             WHERE id IN (SELECT id FROM outbox WHERE dead_at IS NULL AND next_attempt_at <= now()
                          ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED)
             RETURNING id, kind, recipient, attempts,
                       extract(epoch FROM now() - created_at)::float8 AS age_seconds",
        )
        .bind(limit)
        .bind(lease)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                #[expect(clippy::cast_possible_truncation, reason = "an age in milliseconds fits")]
                let age = TimeDelta::milliseconds((row.age_seconds * 1000.0) as i64);
                // An unknown kind was written by a newer version; its lease leaves it to a newer replica.
                MailKind::parse(&row.kind).map(|kind| DueMail {
                    id: row.id,
                    kind,
                    recipient: row.recipient,
                    attempts: row.attempts,
                    age,
                })
            })
            .collect())
    }

    /// Takes a message out of the outbox: it was sent, or there is nobody to send it to.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer; it will then be sent again.
    pub async fn finish_mail(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM outbox WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Puts a message off after a failure.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer; the lease then puts it off.
    pub async fn postpone_mail(&self, id: i64, delay: Duration, reason: &str) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = now() + $2, last_error = $3 WHERE id = $1",
        )
        .bind(id)
        .bind(delay)
        .bind(reason)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives a message up; it stays in the table and in a metric.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn bury_mail(&self, id: i64, reason: &str) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, dead_at = now(), last_error = $2 WHERE id = $1",
        )
        .bind(id)
        .bind(reason)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How much mail waits and how much was given up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn count_mail(&self) -> Result<OutboxCounts, StoreError> {
        Ok(sqlx::query_as(
            "SELECT count(*) FILTER (WHERE dead_at IS NULL) AS pending,
                    count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead
             FROM outbox",
        )
        .fetch_one(&self.pool)
        .await?)
    }
}

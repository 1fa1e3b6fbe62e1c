//! The outbox: e-mails to be sent, each at least once.

use std::time::Duration;

use super::pool::Connection;
use chrono::TimeDelta;
use serde_json::Value;

use super::audit::{insert_event, record_request};
use super::{Store, StoreError};
use crate::domain::{AuditEvent, AuditKind, EmailAddress, Origin};

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailKind {
    /// A link to choose a new password.
    PasswordRecovery,
    /// A notice that the password was changed.
    PasswordChanged,
    /// A link that verifies the address.
    EmailVerification,
    /// To the owner of an account: another registration with its address was attempted.
    RegistrationExists,
    /// To an address that tried to register: the username is taken. `data`: `username`.
    UsernameTaken,
    /// A link that confirms a new address; sent to the new address.
    EmailChange,
    /// To the old address: a change was requested. `data`: `new_email`.
    EmailChangeNotice,
    /// To the old address: the address was changed. `data`: `new_email`.
    EmailChanged,
    /// A link to choose a first password.
    Invitation,
    /// A notice that the account was deleted.
    AccountDeleted,
}

impl MailKind {
    /// The name in the table and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordRecovery => "password_recovery",
            Self::PasswordChanged => "password_changed",
            Self::EmailVerification => "email_verification",
            Self::RegistrationExists => "registration_exists",
            Self::UsernameTaken => "username_taken",
            Self::EmailChange => "email_change",
            Self::EmailChangeNotice => "email_change_notice",
            Self::EmailChanged => "email_changed",
            Self::Invitation => "invitation",
            Self::AccountDeleted => "account_deleted",
        }
    }

    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::PasswordRecovery,
        Self::PasswordChanged,
        Self::EmailVerification,
        Self::RegistrationExists,
        Self::UsernameTaken,
        Self::EmailChange,
        Self::EmailChangeNotice,
        Self::EmailChanged,
        Self::Invitation,
        Self::AccountDeleted,
    ];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A message to be put into the outbox in the transaction of the change that causes it.
#[derive(Debug, Clone)]
pub struct NewMail<'a> {
    pub kind: MailKind,
    /// The recipient's address.
    pub recipient: &'a str,
    /// The account that it is about; the message is deleted with the account.
    pub user_id: Option<i64>,
    /// The language to use if no account decides it (BCP 47).
    pub locale: Option<&'a str>,
    /// The other variables of the template, as an object; never a secret.
    pub data: Value,
}

/// Puts a message into the outbox within a transaction. Wake the worker after the commit.
pub(super) async fn insert_mail(connection: &mut Connection, mail: &NewMail<'_>) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO outbox (kind, recipient, user_id, locale, data) VALUES ($1, $2, $3, $4, $5)")
        .bind(mail.kind.as_str())
        .bind(mail.recipient)
        .bind(mail.user_id)
        .bind(mail.locale)
        .bind(&mail.data)
        .execute(connection)
        .await?;
    Ok(())
}

/// A due message, on which this replica holds a lease.
#[derive(Debug, Clone)]
pub struct DueMail {
    /// The id of its row.
    pub id: i64,
    pub kind: MailKind,
    /// The recipient's address.
    pub recipient: String,
    /// The account that it is about.
    pub user_id: Option<i64>,
    /// The language to use if no account decides it.
    pub locale: Option<String>,
    /// See [`NewMail`].
    pub data: Value,
    /// The number of earlier attempts.
    pub attempts: i32,
    /// The time since it was put into the outbox.
    pub age: TimeDelta,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    kind: String,
    recipient: String,
    user_id: Option<i64>,
    locale: Option<String>,
    data: Value,
    attempts: i32,
    age_seconds: f64,
}

/// The number of e-mails in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct OutboxCounts {
    /// Waiting or being sent.
    pub pending: i64,
    /// Given up.
    pub dead: i64,
}

impl Store {
    /// Requests a link to choose a new password. The worker finds out later whether an account has the address. The audit
    /// event records whose address it is, with the same statements in each case, so that the time is the same.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn enqueue_recovery<'a>(
        &self,
        email: &EmailAddress,
        origin: &'a Origin,
    ) -> Result<AuditEvent<'a>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("INSERT INTO outbox (kind, recipient) VALUES ($1, $2)")
            .bind(MailKind::PasswordRecovery.as_str())
            .bind(email.as_str())
            .execute(&mut *transaction)
            .await?;
        let event =
            record_request(&mut transaction, AuditKind::PasswordResetRequested, email, origin).await?;
        transaction.commit().await?;
        Ok(event)
    }

    /// Claims up to `limit` due messages. Other replicas skip them until `lease` has passed; then they are due again, in case
    /// this replica has died. Messages of a kind that only a newer version knows are left to it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn claim_due_mail(&self, limit: i64, lease: Duration) -> Result<Vec<DueMail>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            // An array is made once; a plan might run a subquery again for each row, and claim more than the limit.
            "UPDATE outbox SET next_attempt_at = now() + $2
             WHERE id = ANY (ARRAY(
                 SELECT id FROM outbox
                 WHERE dead_at IS NULL AND next_attempt_at <= now() AND kind = ANY($3)
                 ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED))
             RETURNING id, kind, recipient, user_id, locale, data, attempts,
                       extract(epoch FROM now() - created_at)::float8 AS age_seconds",
        )
        .bind(limit)
        .bind(lease)
        .bind(MailKind::ALL.map(MailKind::as_str))
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                #[expect(clippy::cast_possible_truncation, reason = "an age in milliseconds fits")]
                let age = TimeDelta::milliseconds((row.age_seconds * 1000.0) as i64);
                MailKind::parse(&row.kind).map(|kind| DueMail {
                    id: row.id,
                    kind,
                    recipient: row.recipient,
                    user_id: row.user_id,
                    locale: row.locale,
                    data: row.data,
                    attempts: row.attempts,
                    age,
                })
            })
            .collect())
    }

    /// Deletes a message from the outbox: it was sent, or has no recipient.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer; it will then be sent again.
    pub async fn finish_mail(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM outbox WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Postpones a message after a failure.
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

    /// Gives up a message and records that; it stays in the table and in a metric for some time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer; it will then be tried again.
    pub async fn bury_mail(&self, id: i64, reason: &str, event: &AuditEvent<'_>) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let buried = sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, dead_at = now(), last_error = $2
             WHERE id = $1 AND dead_at IS NULL",
        )
        .bind(id)
        .bind(reason)
        .execute(&mut *transaction)
        .await?;
        // It may have been deleted with its account.
        if buried.rows_affected() == 1 {
            insert_event(&mut transaction, event).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// The number of e-mails that wait, and of those that were given up.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn count_mail(&self) -> Result<OutboxCounts, StoreError> {
        Ok(sqlx::query_as(
            // Each count has its own partial index.
            "SELECT (SELECT count(*) FROM outbox WHERE dead_at IS NULL) AS pending,
                    (SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL) AS dead",
        )
        .fetch_one(&self.pool)
        .await?)
    }
}

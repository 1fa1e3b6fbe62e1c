//! Registering accounts, and verifying their addresses.

use serde_json::json;

use super::audit::{insert_event, record_request};
use super::one_time_tokens::{use_link, void_links};
use super::outbox::insert_mail;
use super::{MailKind, NewMail, Store, StoreError, TokenPurpose};
use crate::domain::{
    AuditEvent, AuditKind, EmailAddress, Locale, Origin, Outcome, PasswordHash, PersonName, Username,
};

/// A requested account.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Unique without regard to case.
    pub username: Username,
    /// Unique without regard to case.
    pub email: EmailAddress,
    /// The user's full name.
    pub name: PersonName,
    /// The PHC string of the password.
    pub password_hash: PasswordHash,
    /// The user's language.
    pub locale: Option<Locale>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationOutcome {
    /// The account was created; its address is not verified yet.
    Made(i64),
    /// This account already has the address.
    EmailTaken(i64),
    /// Another account already has the username.
    UsernameTaken,
}

impl RegistrationOutcome {
    pub fn event(self, origin: &Origin) -> AuditEvent<'_> {
        let refused = |user_id, reason| AuditEvent {
            kind: AuditKind::Registered,
            outcome: Outcome::Refused,
            actor_id: None,
            user_id,
            session_id: None,
            origin: Some(origin),
            detail: json!({ "reason": reason }),
        };
        match self {
            Self::Made(id) => AuditEvent::own(AuditKind::Registered, id, origin),
            Self::EmailTaken(id) => refused(Some(id), "email_taken"),
            Self::UsernameTaken => refused(None, "username_taken"),
        }
    }
}

impl Store {
    /// Creates the account unless its username or its address is taken, and puts the message that reports the outcome into the
    /// outbox. The unique indexes decide. The steps, and so the time, are the same in each case.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn register(
        &self,
        registration: &Registration,
        origin: &Origin,
    ) -> Result<RegistrationOutcome, StoreError> {
        let locale = registration.locale.as_ref().map(Locale::as_str);
        let mut transaction = self.pool.begin().await?;
        let made: Option<i64> = sqlx::query_scalar(
            "INSERT INTO users (username, email, name, password_hash, locale) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(registration.username.as_str())
        .bind(registration.email.as_str())
        .bind(registration.name.as_str())
        .bind(&registration.password_hash)
        .bind(locale)
        .fetch_optional(&mut *transaction)
        .await?;
        // The stored address: the given one may only look like it.
        let owner: Option<(i64, String)> = sqlx::query_as(
            "SELECT id, email FROM users WHERE lower(email COLLATE \"C\") = lower($1 COLLATE \"C\")",
        )
        .bind(registration.email.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let (outcome, kind, recipient, data) = match (made, &owner) {
            (Some(id), _) => (
                RegistrationOutcome::Made(id),
                MailKind::EmailVerification,
                registration.email.as_str(),
                json!({}),
            ),
            (None, Some((id, email))) => (
                RegistrationOutcome::EmailTaken(*id),
                MailKind::RegistrationExists,
                email.as_str(),
                json!({}),
            ),
            (None, None) => (
                RegistrationOutcome::UsernameTaken,
                MailKind::UsernameTaken,
                registration.email.as_str(),
                json!({ "username": registration.username.as_str() }),
            ),
        };
        let user_id = owner.as_ref().map(|(id, _)| *id);
        insert_mail(&mut transaction, &NewMail { kind, recipient, user_id, locale, data }).await?;
        insert_event(&mut transaction, &outcome.event(origin)).await?;
        transaction.commit().await?;
        Ok(outcome)
    }

    /// Requests another verification e-mail. Writes a row whether or not an unverified account has the address, so that both
    /// take the same time; the worker drops a message without a recipient.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn enqueue_verification<'a>(
        &self,
        email: &EmailAddress,
        origin: &'a Origin,
    ) -> Result<AuditEvent<'a>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO outbox (kind, recipient, user_id)
             SELECT 'email_verification', coalesce(owner.email, asked), owner.id
             FROM (SELECT $1::text AS asked) AS request LEFT JOIN users AS owner
               ON lower(owner.email COLLATE \"C\") = lower(asked COLLATE \"C\")
                  AND owner.is_active AND owner.email_verified_at IS NULL",
        )
        .bind(email.as_str())
        .execute(&mut *transaction)
        .await?;
        let event =
            record_request(&mut transaction, AuditKind::EmailVerificationRequested, email, origin).await?;
        transaction.commit().await?;
        Ok(event)
    }

    /// Uses up the link and marks the account's address as verified. Returns the account; `None` when the link is
    /// invalid.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn verify_email(&self, token_hash: &[u8], origin: &Origin) -> Result<Option<i64>, StoreError> {
        let purposes = [TokenPurpose::EmailVerification];
        let mut transaction = self.pool.begin().await?;
        let Some(owner) = use_link(&mut transaction, token_hash, &purposes).await? else { return Ok(None) };
        sqlx::query("UPDATE users SET email_verified_at = coalesce(email_verified_at, now()) WHERE id = $1")
            .bind(owner.user_id)
            .execute(&mut *transaction)
            .await?;
        void_links(&mut transaction, owner.user_id, &purposes).await?;
        let event = AuditEvent::own(AuditKind::EmailVerified, owner.user_id, origin);
        insert_event(&mut transaction, &event).await?;
        transaction.commit().await?;
        Ok(Some(owner.user_id))
    }
}

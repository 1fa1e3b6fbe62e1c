//! Changing the address of an account: requested, then confirmed by a link to the new address.

use serde_json::json;

use super::audit::insert_event;
use super::authority::RowLock;
use super::one_time_tokens::{use_link, void_links};
use super::outbox::insert_mail;
use super::{Actor, Conflict, MailKind, NewMail, Store, StoreError, TokenPurpose};
use crate::domain::{AuditEvent, AuditKind, EmailAddress, Origin, PasswordHash};

/// A change of address that the owner requests, whose password was verified.
#[derive(Debug, Clone)]
pub struct EmailChange<'a> {
    /// The account and its current session.
    pub actor: Actor,
    /// The hash that the password was verified against.
    pub verified_hash: &'a PasswordHash,
    pub new_email: &'a EmailAddress,
    pub origin: &'a Origin,
}

impl<'a> EmailChange<'a> {
    pub fn event(&self) -> AuditEvent<'a> {
        AuditEvent::own(AuditKind::EmailChangeRequested, self.actor.user_id, self.origin)
            .in_session(self.actor.session_id)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmationOutcome {
    /// This account now has the address.
    Changed(i64),
    /// Another account has it; this one is unchanged.
    Taken(i64),
    /// The link is invalid.
    BadLink,
}

impl Store {
    /// Puts the messages to both addresses into the outbox and voids earlier links of this kind. `false`
    /// when the password was changed or the account deactivated since it was verified.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn request_email_change(&self, change: &EmailChange<'_>) -> Result<bool, StoreError> {
        let mut transaction = self.begin_as(change.actor, RowLock::Change).await?;
        let old_email: Option<String> =
            sqlx::query_scalar("SELECT email FROM users WHERE id = $1 AND password_hash = $2")
                .bind(change.actor.user_id)
                .bind(change.verified_hash)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some(old_email) = old_email else { return Ok(false) };
        void_links(&mut transaction, change.actor.user_id, &[TokenPurpose::EmailChange]).await?;
        let new_email = change.new_email.as_str();
        for (kind, recipient, data) in [
            (MailKind::EmailChange, new_email, json!({})),
            (MailKind::EmailChangeNotice, old_email.as_str(), json!({ "new_email": new_email })),
        ] {
            let mail = NewMail { kind, recipient, user_id: Some(change.actor.user_id), locale: None, data };
            insert_mail(&mut transaction, &mail).await?;
        }
        insert_event(&mut transaction, &change.event()).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Uses up the link, makes the address that it was sent to the account's and voids all other links. The
    /// unique index decides whether the address is free.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn confirm_email_change(
        &self,
        token_hash: &[u8],
        origin: &Origin,
    ) -> Result<ConfirmationOutcome, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let Some(owner) = use_link(&mut transaction, token_hash, &[TokenPurpose::EmailChange]).await? else {
            return Ok(ConfirmationOutcome::BadLink);
        };
        let Some(new_email) = &owner.mailed_to else { return Ok(ConfirmationOutcome::BadLink) };
        let changed = sqlx::query("UPDATE users SET email = $2, email_verified_at = now() WHERE id = $1")
            .bind(owner.user_id)
            .bind(new_email)
            .execute(&mut *transaction)
            .await
            .map_err(StoreError::from);
        match changed {
            Ok(_) => {}
            Err(StoreError::Conflict(Conflict::Email)) => {
                return Ok(ConfirmationOutcome::Taken(owner.user_id));
            }
            Err(other) => return Err(other),
        }
        void_links(&mut transaction, owner.user_id, &TokenPurpose::ALL).await?;
        let notice = NewMail {
            kind: MailKind::EmailChanged,
            recipient: &owner.email,
            user_id: Some(owner.user_id),
            locale: None,
            data: json!({ "new_email": new_email }),
        };
        insert_mail(&mut transaction, &notice).await?;
        let event = AuditEvent::own(AuditKind::EmailChanged, owner.user_id, origin);
        insert_event(&mut transaction, &event).await?;
        transaction.commit().await?;
        Ok(ConfirmationOutcome::Changed(owner.user_id))
    }
}

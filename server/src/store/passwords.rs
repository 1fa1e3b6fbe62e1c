//! Setting and changing passwords.

use super::pool::Connection;
use serde_json::json;

use super::audit::insert_event;
use super::authority::RowLock;
use super::devices::insert_browser;
use super::one_time_tokens::{use_link, void_links};
use super::outbox::insert_mail;
use super::sessions::end_sessions_of;
use super::{Actor, EndedSessions, MailKind, NewMail, Store, StoreError, TokenPurpose};
use crate::domain::{AuditEvent, AuditKind, Origin, PasswordHash};

/// A change of password by its owner, whose current password was verified.
#[derive(Debug, Clone)]
pub struct PasswordChange<'a> {
    /// The account and its current session, which continues.
    pub actor: Actor,
    /// The hash that the current password was verified against.
    pub verified_hash: &'a PasswordHash,
    /// The PHC string of the new password.
    pub new_hash: &'a PasswordHash,
    /// Whether the other sessions stay active too.
    pub keep_other_sessions: bool,
    pub origin: &'a Origin,
}

/// A password that was set by a link.
#[derive(Debug, Clone)]
pub struct PasswordReset {
    pub user_id: i64,
    pub purpose: TokenPurpose,
    /// The ended sessions, to be announced.
    pub revoked: EndedSessions,
}

impl PasswordReset {
    pub fn event<'a>(&self, origin: &'a Origin) -> AuditEvent<'a> {
        AuditEvent::own(AuditKind::PasswordReset, self.user_id, origin)
            .with(json!({ "link": self.purpose.as_str() }))
    }
}

impl Store {
    /// Uses up the link, sets the password, ends every session, voids all other links and puts a notice into the outbox, in
    /// one transaction. The link also verifies the address that it was sent to, and `device`
    /// becomes a device of the account. `None` when the link was used, voided or
    /// expired in the meantime.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn reset_password(
        &self,
        token_hash: &[u8],
        password_hash: &PasswordHash,
        device: &[u8],
        origin: &Origin,
    ) -> Result<Option<PasswordReset>, StoreError> {
        let purposes = [TokenPurpose::PasswordReset, TokenPurpose::Invitation];
        let mut transaction = self.pool.begin().await?;
        let Some(owner) = use_link(&mut transaction, token_hash, &purposes).await? else { return Ok(None) };
        sqlx::query(
            "UPDATE users SET password_hash = $2, password_changed_at = now(),
                    email_verified_at = coalesce(email_verified_at, now()), unconfirmed = false
             WHERE id = $1",
        )
        .bind(owner.user_id)
        .bind(password_hash)
        .execute(&mut *transaction)
        .await?;
        insert_browser(&mut transaction, owner.user_id, device).await?;
        let revoked = end_sessions_of(&mut transaction, owner.user_id, None).await?;
        void_links(&mut transaction, owner.user_id, &TokenPurpose::ALL).await?;
        // An owner who has just chosen the first password needs no notice.
        if owner.purpose == TokenPurpose::PasswordReset {
            insert_notice(&mut transaction, owner.user_id, &owner.email, true).await?;
        }
        let reset = PasswordReset { user_id: owner.user_id, purpose: owner.purpose, revoked };
        insert_event(&mut transaction, &reset.event(origin)).await?;
        transaction.commit().await?;
        Ok(Some(reset))
    }

    /// Changes a password, ends the other sessions unless they are kept, voids the links that could undo the change and puts a
    /// notice into the outbox, in one transaction. `None` when the password was changed since it was verified.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn change_password(
        &self,
        change: &PasswordChange<'_>,
    ) -> Result<Option<EndedSessions>, StoreError> {
        let mut transaction = self.begin_as(change.actor, RowLock::Change).await?;
        let email: Option<String> = sqlx::query_scalar(
            "UPDATE users SET password_hash = $3, password_changed_at = now()
             WHERE id = $1 AND password_hash = $2
             RETURNING email",
        )
        .bind(change.actor.user_id)
        .bind(change.verified_hash)
        .bind(change.new_hash)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(email) = email else { return Ok(None) };
        let revoked = if change.keep_other_sessions {
            EndedSessions::none(change.actor.user_id)
        } else {
            end_sessions_of(&mut transaction, change.actor.user_id, Some(change.actor.session_id)).await?
        };
        let stale = [TokenPurpose::PasswordReset, TokenPurpose::EmailChange, TokenPurpose::Invitation];
        void_links(&mut transaction, change.actor.user_id, &stale).await?;
        insert_notice(&mut transaction, change.actor.user_id, &email, !change.keep_other_sessions).await?;
        insert_event(&mut transaction, &change.event()).await?;
        transaction.commit().await?;
        Ok(Some(revoked))
    }
}

impl<'a> PasswordChange<'a> {
    pub fn event(&self) -> AuditEvent<'a> {
        AuditEvent::own(AuditKind::PasswordChanged, self.actor.user_id, self.origin)
            .in_session(self.actor.session_id)
            .with(json!({ "other_sessions_ended": !self.keep_other_sessions }))
    }
}

async fn insert_notice(
    connection: &mut Connection,
    user_id: i64,
    email: &str,
    sessions_ended: bool,
) -> Result<(), StoreError> {
    let notice = NewMail {
        kind: MailKind::PasswordChanged,
        recipient: email,
        user_id: Some(user_id),
        locale: None,
        data: json!({ "sessions_ended": sessions_ended }),
    };
    insert_mail(connection, &notice).await
}

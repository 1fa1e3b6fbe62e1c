//! Changes that users make to their own accounts.

use serde_json::json;

use super::audit::insert_event;
use super::authority::RowLock;
use super::group_locks::keep_groups_of;
use super::outbox::insert_mail;
use super::sessions::end_sessions_of_deleted;
use super::superusers::is_last_superuser;
use super::{Actor, EndedSessions, MailKind, NewMail, Profile, Store, StoreError};
use crate::domain::{AuditEvent, AuditKind, Locale, Origin, PasswordHash, PersonName};

/// The account, as far as a change by its owner depends on it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct OwnAccount {
    /// Its name.
    pub username: String,
    pub email: String,
    /// The user's full name.
    pub name: String,
    /// Its language; `None`: the default of the service.
    pub locale: Option<String>,
    /// PHC string.
    pub password_hash: Option<PasswordHash>,
}

/// A change of the profile; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// The user's full name.
    pub name: Option<PersonName>,
    /// The language; `Some(None)` restores the default of the service.
    #[expect(clippy::option_option, reason = "unchanged, the default and a chosen one are three things")]
    pub locale: Option<Option<Locale>>,
}

impl ProfileChange {
    pub fn event<'a>(&self, user_id: i64, origin: &'a Origin) -> AuditEvent<'a> {
        let given = [("name", self.name.is_some()), ("locale", self.locale.is_some())];
        let fields: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        AuditEvent::own(AuditKind::ProfileChanged, user_id, origin).with(json!({ "fields": fields }))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletionOutcome {
    /// The account was deleted; these sessions are to be announced.
    Deleted(EndedSessions),
    /// It is the last superuser who can log in.
    LastSuperuser,
    /// The password was changed since it was verified.
    NotVerified,
}

impl Store {
    /// The account of `actor`.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]; [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_own_account(&self, actor: Actor) -> Result<OwnAccount, StoreError> {
        let mut reading = self.read_as(actor).await?;
        let found: Option<OwnAccount> =
            sqlx::query_as("SELECT username, email, name, locale, password_hash FROM users WHERE id = $1")
                .bind(actor.user_id)
                .fetch_optional(reading.connection())
                .await?;
        reading.finish(found).await?.ok_or(StoreError::SessionOver)
    }

    /// Changes the profile of `actor`.
    ///
    /// # Errors
    /// [`StoreError::SessionOver`]; [`StoreError::Unavailable`] when the database does not answer.
    pub async fn change_profile(
        &self,
        actor: Actor,
        change: &ProfileChange,
        origin: &Origin,
    ) -> Result<Profile, StoreError> {
        let mut transaction = self.begin_as(actor, RowLock::Change).await?;
        let profile: Profile = sqlx::query_as(
            "UPDATE users SET name = coalesce($2, name), locale = CASE WHEN $3 THEN $4 ELSE locale END
             WHERE id = $1
             RETURNING id, username, email, name, is_superuser, is_active",
        )
        .bind(actor.user_id)
        .bind(change.name.as_ref().map(PersonName::as_str))
        .bind(change.locale.is_some())
        .bind(change.locale.as_ref().and_then(Option::as_ref).map(Locale::as_str))
        .fetch_one(&mut *transaction)
        .await?;
        insert_event(&mut transaction, &change.event(actor.user_id, origin)).await?;
        transaction.commit().await?;
        Ok(profile)
    }

    /// Deletes an account whose owner's password was verified, with its sessions, links and messages, and puts a notice into
    /// the outbox. `event` is the audit event.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn delete_own_account(
        &self,
        actor: Actor,
        verified_hash: &PasswordHash,
        event: &AuditEvent<'_>,
    ) -> Result<DeletionOutcome, StoreError> {
        let mut transaction = self.begin_as(actor, RowLock::Remove).await?;
        let user_id = actor.user_id;
        let owner: Option<(String, Option<String>)> =
            sqlx::query_as("SELECT email, locale FROM users WHERE id = $1 AND password_hash = $2")
                .bind(user_id)
                .bind(verified_hash)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some((email, locale)) = owner else { return Ok(DeletionOutcome::NotVerified) };
        if is_last_superuser(&mut transaction, user_id).await? {
            return Ok(DeletionOutcome::LastSuperuser);
        }
        keep_groups_of(&mut transaction, &[user_id]).await?;
        let revoked = end_sessions_of_deleted(&mut transaction, user_id).await?;
        sqlx::query("DELETE FROM users WHERE id = $1").bind(user_id).execute(&mut *transaction).await?;
        let notice = NewMail {
            kind: MailKind::AccountDeleted,
            recipient: &email,
            // A message that names the account would be deleted with it.
            user_id: None,
            locale: locale.as_deref(),
            data: json!({}),
        };
        insert_mail(&mut transaction, &notice).await?;
        insert_event(&mut transaction, event).await?;
        transaction.commit().await?;
        Ok(DeletionOutcome::Deleted(revoked))
    }
}

//! Changes that administrators make to accounts. Each method is one transaction, with its audit event, its e-mail and the
//! sessions that it ends.

use super::pool::Connection;
use serde_json::json;

use super::accounts::account_columns;
use super::audit::insert_event;
use super::authority::RowLock;
use super::group_locks::keep_groups_of;
use super::one_time_tokens::void_links;
use super::outbox::insert_mail;
use super::sessions::{end_sessions_of, end_sessions_of_deleted};
use super::superusers::is_last_superuser;
use super::{
    Account, Administrator, EndedSessions, MailKind, NewMail, Profile, Store, StoreError, TokenPurpose,
};
use crate::domain::{
    AuditEvent, AuditKind, EmailAddress, Locale, Origin, PasswordHash, PersonName, Username,
};

/// An account to be created by an administrator.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Unique without regard to case.
    pub username: Username,
    /// Unique without regard to case.
    pub email: EmailAddress,
    /// The user's full name.
    pub name: PersonName,
    /// The stored hash; `None`: the owner is invited to choose a password.
    pub password_hash: Option<PasswordHash>,
    /// Whether the account may do everything; only superusers decide that.
    pub is_superuser: bool,
    /// The language of e-mails.
    pub locale: Option<Locale>,
}

/// A change of an account; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    /// The user's full name.
    pub name: Option<PersonName>,
    pub email: Option<EmailAddress>,
    /// Whether the account may log in.
    pub is_active: Option<bool>,
    /// Whether the account may do everything; only superusers decide that.
    pub is_superuser: Option<bool>,
}

/// The outcome of a change.
#[derive(Debug)]
pub enum Administered<T> {
    /// The change was made.
    Done(T),
    /// The account does not exist.
    Unknown,
    /// Nothing was changed: it would have left no superuser who can log in.
    LastSuperuser,
}

/// A change that was made.
#[derive(Debug)]
pub struct ChangedAccount<'a> {
    pub account: Account,
    /// The audit event; `None` when nothing changed.
    pub event: Option<AuditEvent<'a>>,
    /// The sessions to announce.
    pub revoked: EndedSessions,
}

/// The outcome of a request for a link to choose a password.
#[derive(Debug)]
pub enum ResetStarted<'a> {
    /// The mail is in the outbox.
    Yes(AuditEvent<'a>),
    /// The account is deactivated: the link would not work.
    Deactivated,
    /// The account does not exist.
    Unknown,
}

impl Store {
    /// Creates an account and records who created it. Without a hash its owner is invited by e-mail, and following the
    /// invitation verifies the address; otherwise the address counts as verified.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name or the address is taken: the unique index decides, so that of
    /// two concurrent requests exactly one succeeds. [`StoreError::NotSuperuser`] when somebody else creates a superuser.
    pub async fn create_account<'a>(
        &self,
        new: &NewAccount,
        administrator: &Administrator,
        origin: &'a Origin,
    ) -> Result<(Profile, AuditEvent<'a>), StoreError> {
        let (mut transaction, power) = self.begin_with_power(administrator, None).await?;
        if new.is_superuser && !power.is_superuser {
            return Err(StoreError::NotSuperuser);
        }
        let locale = new.locale.as_ref().map(Locale::as_str);
        let profile: Profile = sqlx::query_as(
            "INSERT INTO users (username, email, name, password_hash, is_superuser, locale, email_verified_at)
             VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $4::text IS NOT NULL THEN now() END)
             RETURNING id, username, email, name, is_superuser, is_active",
        )
        .bind(new.username.as_str())
        .bind(new.email.as_str())
        .bind(new.name.as_str())
        .bind(&new.password_hash)
        .bind(new.is_superuser)
        .bind(locale)
        .fetch_one(&mut *transaction)
        .await?;
        let kind = if new.password_hash.is_some() { AuditKind::UserCreated } else { AuditKind::UserInvited };
        if new.password_hash.is_none() {
            mail_owner(&mut transaction, MailKind::Invitation, profile.id, (&profile.email, locale)).await?;
        }
        let event = event_by(administrator, kind, profile.id, origin);
        insert_event(&mut transaction, &event).await?;
        administrator.commit(transaction).await?;
        Ok((profile, event))
    }

    /// Updates an account. Deactivation ends its sessions and voids its links. A new address counts as verified and voids the
    /// links that were sent to the old one; a notice goes to the old one if
    /// `notify` is set.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the address is taken; [`StoreError::NotSuperuser`] when somebody else makes the account
    /// a superuser's.
    pub async fn change_account<'a>(
        &self,
        user_id: i64,
        change: &AccountChange,
        administrator: &Administrator,
        origin: &'a Origin,
        notify: bool,
    ) -> Result<Administered<ChangedAccount<'a>>, StoreError> {
        let target = Some((user_id, RowLock::Change));
        let (mut transaction, power) = self.begin_with_power(administrator, target).await?;
        let Some(old) = read_account(&mut transaction, user_id).await? else {
            return Ok(Administered::Unknown);
        };
        if change.is_superuser.is_some_and(|wanted| wanted != old.is_superuser) && !power.is_superuser {
            return Err(StoreError::NotSuperuser);
        }
        let removes_power = change.is_active == Some(false) || change.is_superuser == Some(false);
        if removes_power && old.is_superuser && is_last_superuser(&mut transaction, user_id).await? {
            return Ok(Administered::LastSuperuser);
        }
        let account: Account = sqlx::query_as(concat!(
            "UPDATE users SET
                 name = coalesce($2, name),
                 email_verified_at = CASE
                     WHEN lower($3::text COLLATE \"C\") <> lower(email COLLATE \"C\") THEN now()
                     ELSE email_verified_at END,
                 email = coalesce($3, email),
                 is_active = coalesce($4, is_active),
                 is_superuser = coalesce($5, is_superuser),
                 unconfirmed = false
             WHERE id = $1 RETURNING ",
            account_columns!()
        ))
        .bind(user_id)
        .bind(change.name.as_ref().map(PersonName::as_str))
        .bind(change.email.as_ref().map(EmailAddress::as_str))
        .bind(change.is_active)
        .bind(change.is_superuser)
        .fetch_one(&mut *transaction)
        .await?;
        let moved = !old.email.eq_ignore_ascii_case(&account.email);
        if moved || (old.is_active && !account.is_active) {
            void_links(&mut transaction, user_id, &TokenPurpose::ALL).await?;
        }
        if moved && notify {
            let mail = NewMail {
                kind: MailKind::EmailChanged,
                recipient: &old.email,
                user_id: Some(user_id),
                locale: account.locale.as_deref(),
                data: json!({ "new_email": account.email }),
            };
            insert_mail(&mut transaction, &mail).await?;
        }
        let revoked = if change.is_active == Some(false) {
            end_sessions_of(&mut transaction, user_id, None).await?;
            self.recent_ends_in(&mut transaction, user_id).await?
        } else {
            EndedSessions::none(user_id)
        };
        let event = describe_change(&old, &account)
            .map(|detail| event_by(administrator, AuditKind::UserChanged, user_id, origin).with(detail));
        if let Some(event) = &event {
            insert_event(&mut transaction, event).await?;
        }
        administrator.commit(transaction).await?;
        Ok(Administered::Done(ChangedAccount { account, event, revoked }))
    }

    /// Deletes an account and all its data except its audit events.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn delete_account<'a>(
        &self,
        user_id: i64,
        administrator: &Administrator,
        origin: &'a Origin,
    ) -> Result<Administered<(AuditEvent<'a>, EndedSessions)>, StoreError> {
        let target = Some((user_id, RowLock::Remove));
        let mut transaction = self.begin_as_administrator(administrator, target).await?;
        let Some(old) = read_account(&mut transaction, user_id).await? else {
            return Ok(Administered::Unknown);
        };
        if old.is_superuser && is_last_superuser(&mut transaction, user_id).await? {
            return Ok(Administered::LastSuperuser);
        }
        keep_groups_of(&mut transaction, &[user_id]).await?;
        // The revocations outlive the sessions, which are deleted with the account.
        let revoked = end_sessions_of_deleted(&mut transaction, user_id).await?;
        sqlx::query("DELETE FROM users WHERE id = $1").bind(user_id).execute(&mut *transaction).await?;
        // A later reader could not tell from the id alone which account it was.
        let event = event_by(administrator, AuditKind::UserDeleted, user_id, origin)
            .with(json!({ "username": old.username }));
        insert_event(&mut transaction, &event).await?;
        administrator.commit(transaction).await?;
        Ok(Administered::Done((event, revoked)))
    }

    /// Ends every session of an account. The event is `None` when there was none to end; recently ended sessions are
    /// returned all the same, since they may not have been announced.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn end_account_sessions<'a>(
        &self,
        user_id: i64,
        administrator: &Administrator,
        origin: &'a Origin,
    ) -> Result<Administered<(Option<AuditEvent<'a>>, EndedSessions)>, StoreError> {
        let target = Some((user_id, RowLock::Change));
        let mut transaction = self.begin_as_administrator(administrator, target).await?;
        if read_account(&mut transaction, user_id).await?.is_none() {
            return Ok(Administered::Unknown);
        }
        let ended = end_sessions_of(&mut transaction, user_id, None).await?;
        let event = (!ended.is_empty()).then(|| {
            event_by(administrator, AuditKind::UserSessionsEnded, user_id, origin).with(ended.audit_detail())
        });
        if let Some(event) = &event {
            insert_event(&mut transaction, event).await?;
        }
        let revoked = self.recent_ends_in(&mut transaction, user_id).await?;
        administrator.commit(transaction).await?;
        Ok(Administered::Done((event, revoked)))
    }

    /// Puts the link to choose a password into the outbox: an invitation where there is no password yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn start_reset<'a>(
        &self,
        user_id: i64,
        administrator: &Administrator,
        origin: &'a Origin,
    ) -> Result<ResetStarted<'a>, StoreError> {
        let target = Some((user_id, RowLock::Change));
        let mut transaction = self.begin_as_administrator(administrator, target).await?;
        let Some(account) = read_account(&mut transaction, user_id).await? else {
            return Ok(ResetStarted::Unknown);
        };
        if !account.is_active {
            return Ok(ResetStarted::Deactivated);
        }
        let invited: bool = sqlx::query_scalar("SELECT password_hash IS NULL FROM users WHERE id = $1")
            .bind(user_id)
            .fetch_one(&mut *transaction)
            .await?;
        let (mail, kind) = if invited {
            (MailKind::Invitation, AuditKind::UserInvited)
        } else {
            (MailKind::PasswordRecovery, AuditKind::PasswordResetRequested)
        };
        mail_owner(&mut transaction, mail, user_id, (&account.email, account.locale.as_deref())).await?;
        let event = event_by(administrator, kind, user_id, origin);
        insert_event(&mut transaction, &event).await?;
        administrator.commit(transaction).await?;
        Ok(ResetStarted::Yes(event))
    }
}

/// The audit event of a change by an administrator.
pub(super) fn event_by<'a>(
    administrator: &Administrator,
    kind: AuditKind,
    user_id: i64,
    origin: &'a Origin,
) -> AuditEvent<'a> {
    administrator.attribute(AuditEvent::own(kind, user_id, origin))
}

/// The account, whose row is locked against changes and logins until the transaction ends.
async fn read_account(connection: &mut Connection, user_id: i64) -> Result<Option<Account>, StoreError> {
    Ok(sqlx::query_as(concat!("SELECT ", account_columns!(), " FROM users WHERE id = $1"))
        .bind(user_id)
        .fetch_optional(connection)
        .await?)
}

async fn mail_owner(
    connection: &mut Connection,
    kind: MailKind,
    user_id: i64,
    (recipient, locale): (&str, Option<&str>),
) -> Result<(), StoreError> {
    insert_mail(connection, &NewMail { kind, recipient, user_id: Some(user_id), locale, data: json!({}) })
        .await
}

/// The changed fields without the addresses, since audit events outlive the account. `None` when nothing changed.
fn describe_change(old: &Account, new: &Account) -> Option<serde_json::Value> {
    let mut detail = serde_json::Map::new();
    let mut changed = Vec::new();
    if old.name != new.name {
        changed.push("name");
    }
    if old.email != new.email {
        changed.push("email");
    }
    let flags =
        [("is_active", old.is_active, new.is_active), ("is_superuser", old.is_superuser, new.is_superuser)];
    for (name, old, new) in flags {
        if old != new {
            changed.push(name);
            detail.insert(name.to_owned(), new.into());
        }
    }
    let any = !changed.is_empty();
    detail.insert("changed".to_owned(), changed.into());
    any.then_some(detail.into())
}

//! Changing the current user's password.

use super::password_checks::{check_new_password, wrong_password};
use crate::domain::{AuditKind, Origin, Password};
use crate::service::announce_again::announce_recent_ends;
use crate::service::{Authenticated, Service, ServiceError};
use crate::store::PasswordChange;

const CURRENT: &str = "current_password";

/// A requested change, not yet checked.
#[derive(Debug, Clone)]
pub struct PasswordForm {
    pub current_password: Password,
    pub new_password: Password,
    /// Whether the other sessions stay active.
    pub keep_other_sessions: bool,
}

/// Changes the password and ends the other sessions unless the form keeps them (OWASP ASVS 5.0 §6.2.3, §7.4.3). The
/// current session continues. A notice is sent by e-mail.
///
/// # Errors
/// [`ServiceError::Invalid`] for a wrong current password or a new one that is refused,
/// [`ServiceError::InvalidAccessToken`], [`ServiceError::Overloaded`], [`ServiceError::Unavailable`]
pub async fn change_password(
    service: &Service,
    bearer: Authenticated,
    form: PasswordForm,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let current = (CURRENT, form.current_password);
    let confirmed = match service.confirm_password(bearer, current, AuditKind::PasswordChanged, origin).await
    {
        Err(refusal @ ServiceError::Invalid(_)) => return refuse(service, bearer, refusal).await,
        confirmed => confirmed?,
    };
    let account = &confirmed.account;
    check_new_password(
        &service.rules.passwords,
        &form.new_password,
        (&account.username, &account.email, &account.name),
    )?;
    let new_hash = service.hashing.hash(form.new_password).await?;
    let change = PasswordChange {
        actor: bearer.actor(),
        verified_hash: &confirmed.verified_hash,
        new_hash: &new_hash,
        keep_other_sessions: form.keep_other_sessions,
        origin,
    };
    let Some(revoked) = service.store.change_password(&change).await? else {
        return refuse(service, bearer, wrong_password(CURRENT)).await;
    };
    service.emit(&change.event());
    service.outbox.wake();
    service.revocation.announce_ended(&revoked).await?;
    Ok(())
}

/// Refuses a password that is not the current one. An earlier request may have changed it and failed to announce the sessions
/// that it ended.
async fn refuse(service: &Service, bearer: Authenticated, refusal: ServiceError) -> Result<(), ServiceError> {
    announce_recent_ends(service, bearer.user_id, None).await?;
    Err(refusal)
}

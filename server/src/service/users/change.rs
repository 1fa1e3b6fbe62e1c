//! Updating an account, by an administrator.

use serde_json::json;

use crate::domain::{AuditEvent, AuditKind, Origin};
use crate::service::announce_again::announce_recent_ends;
use crate::service::fields::{check_email, check_name};
use crate::service::{Permitted, Service, ServiceError};
use crate::store::{Account, AccountChange, Administered};

/// A requested change, not yet checked; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default)]
pub struct UserChangeForm {
    /// See [`PersonName`](crate::domain::PersonName).
    pub name: Option<String>,
    /// See [`EmailAddress`](crate::domain::EmailAddress).
    pub email: Option<String>,
    /// Whether the account may log in.
    pub is_active: Option<bool>,
    /// Whether the account may administer accounts.
    pub is_superuser: Option<bool>,
}

/// Updates the account. Deactivation ends its sessions: when this returns, every replica refuses its tokens. A demotion
/// takes effect immediately too, since every transaction of an administrator asserts its right. A notice of a changed
/// address is sent to the old one (OWASP ASVS 5.0 §6.3.7).
///
/// # Errors
/// [`ServiceError::Invalid`], [`ServiceError::UnknownAccount`], [`ServiceError::LastSuperuser`],
/// [`ServiceError::Conflict`], [`ServiceError::HoldsMore`], [`ServiceError::NotSuperuser`] when somebody else makes the
/// account a superuser's, [`ServiceError::Unavailable`]: when a deactivation could not be made known, it may be asked for
/// again.
pub async fn change_user(
    service: &Service,
    permitted: &Permitted,
    user_id: i64,
    form: UserChangeForm,
    origin: &Origin,
) -> Result<Account, ServiceError> {
    let change = form.check()?;
    let changed = service
        .store
        .change_account(user_id, &change, permitted.administrator(), origin, service.outbox.enabled)
        .await
        .map_err(|error| permitted.explain(service, error))?;
    match changed {
        Administered::Unknown => {
            announce_recent_ends(service, user_id, None).await?;
            Err(ServiceError::UnknownAccount)
        }
        Administered::LastSuperuser => {
            service.record(&refused_as_last(AuditKind::UserChanged, permitted, user_id, origin)).await?;
            Err(ServiceError::LastSuperuser)
        }
        Administered::Done(done) => {
            if let Some(event) = &done.event {
                service.emit(event);
                service.outbox.wake();
            }
            service.revocation.announce_ended(&done.revoked).await?;
            Ok(done.account)
        }
    }
}

/// The event for a refused removal of the last superuser.
pub(in crate::service) fn refused_as_last<'a>(
    kind: AuditKind,
    permitted: &Permitted,
    user_id: i64,
    origin: &'a Origin,
) -> AuditEvent<'a> {
    let event = permitted.attribute(AuditEvent::own(kind, user_id, origin));
    event.with(json!({ "reason": "last_superuser" })).refused()
}

impl UserChangeForm {
    fn check(self) -> Result<AccountChange, ServiceError> {
        let mut faults = Vec::new();
        let change = AccountChange {
            name: self.name.and_then(|name| check_name(&name, &mut faults)),
            email: self.email.and_then(|email| check_email(&email, &mut faults)),
            is_active: self.is_active,
            is_superuser: self.is_superuser,
        };
        if faults.is_empty() { Ok(change) } else { Err(ServiceError::Invalid(faults)) }
    }
}

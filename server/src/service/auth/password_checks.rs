//! Checking passwords before a change to the current user's account: the user must enter the password again, since an
//! unattended browser or a stolen token must not be enough (OWASP ASVS 5.0 §7.5.1).

use latchkey_config::PasswordPolicy;
use serde_json::json;

use crate::domain::{
    AuditEvent, AuditKind, EmailAddress, Origin, Password, PasswordHash, PersonName, Username,
};
use crate::service::{Authenticated, FieldError, LimitedAction, Service, ServiceError};
use crate::store::OwnAccount;

/// The bearer's account, whose password was just verified.
pub(in crate::service) struct ConfirmedAccount {
    pub(in crate::service) account: OwnAccount,
    /// The hash that it was verified against.
    pub(in crate::service) verified_hash: PasswordHash,
}

impl Service {
    /// Verifies the bearer's password, given in the field `field`. A wrong one is recorded as a refused `kind` and is a
    /// 422, not a 401, since the access token is valid.
    ///
    /// # Errors
    /// [`wrong_password`], [`ServiceError::RateLimited`], [`ServiceError::InvalidAccessToken`] when the account is gone or deactivated,
    /// [`ServiceError::Overloaded`], [`ServiceError::Unavailable`]
    pub(in crate::service) async fn confirm_password(
        &self,
        bearer: Authenticated,
        (field, password): (&'static str, Password),
        kind: AuditKind,
        origin: &Origin,
    ) -> Result<ConfirmedAccount, ServiceError> {
        // Limited, so that the holder of a stolen token cannot guess the password (OWASP ASVS 5.0 §6.3.1).
        let name = format!("user:{}", bearer.user_id);
        let attempt = self.limit(LimitedAction::Confirmation, &name, None, origin).await?;
        let account = self.store.find_own_account(bearer.actor()).await?;
        let stored = account.password_hash.clone();
        let correct = self.hashing.verify(password, stored.clone()).await?;
        if let Some(verified_hash) = stored.filter(|_| correct) {
            attempt.give_back().await;
            // Checked before the result is used: only an active session may learn whether the password is correct.
            self.store.assert_goes_on(bearer.actor()).await?;
            return Ok(ConfirmedAccount { account, verified_hash });
        }
        let event = AuditEvent::own(kind, bearer.user_id, origin).in_session(bearer.session_id);
        let event = event.refused().with(json!({ "reason": "wrong_password" }));
        self.store.record_as(bearer.actor(), &event).await?;
        self.emit(&event);
        Err(wrong_password(field))
    }
}

/// The password is not, or is no longer, the account's.
pub(in crate::service) fn wrong_password(field: &'static str) -> ServiceError {
    ServiceError::Invalid(vec![FieldError::new(field, "is not the password of this account")])
}

/// Checks the new password, given in the field `new_password`, of the account with this username, address and name.
///
/// # Errors
/// [`ServiceError::Invalid`]
pub(in crate::service) fn check_new_password(
    policy: &PasswordPolicy,
    password: &Password,
    (username, email, name): (&str, &str, &str),
) -> Result<(), ServiceError> {
    let names = (Username::parse(username), EmailAddress::parse(email), PersonName::parse(name));
    let (Some(username), Some(email), Some(name)) = names else {
        return Err(ServiceError::Internal("a stored name breaks today's rules".to_owned()));
    };
    password
        .check_new(policy, &username, &email, &name)
        .map_err(|refusal| ServiceError::Invalid(vec![FieldError::new("new_password", &refusal.to_string())]))
}

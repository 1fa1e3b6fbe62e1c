//! Creating an account, by an administrator.

use latchkey_config::PasswordPolicy;

use crate::crypto::ForeignHash;
use crate::domain::{EmailAddress, Origin, Password, PasswordHash, PersonName, Username};
use crate::service::fields::{check_account_names, check_locale};
use crate::service::{FieldError, Permitted, Service, ServiceError};
use crate::store::{NewAccount, Profile};

/// An account with a chosen password, not yet checked.
#[derive(Debug, Clone)]
pub struct UserForm {
    /// See [`Username`].
    pub username: String,
    /// See [`EmailAddress`].
    pub email: String,
    /// See [`PersonName`].
    pub name: String,
    /// See [`Password::check_new`].
    pub password: Password,
}

/// An account that an administrator requests, not yet checked.
#[derive(Debug, Clone)]
pub struct AccountForm {
    /// See [`Username`].
    pub username: String,
    /// See [`EmailAddress`].
    pub email: String,
    /// See [`PersonName`].
    pub name: String,
    /// See [`Password::check_new`].
    pub password: Option<Password>,
    /// See [`ForeignHash`]. Without a password and without a hash the owner is invited by e-mail.
    pub password_hash: Option<PasswordHash>,
    /// Whether the account may administer accounts.
    pub is_superuser: bool,
    /// See [`Locale`](crate::domain::Locale).
    pub locale: Option<String>,
}

/// The source of the account's first password.
enum FirstPassword {
    Chosen(Password),
    Brought(ForeignHash),
    Invited,
}

/// Creates the account.
///
/// # Errors
/// [`ServiceError::Invalid`], [`ServiceError::Conflict`], [`ServiceError::InvitationNeedsMail`],
/// [`ServiceError::NotSuperuser`] when somebody else creates a superuser, [`ServiceError::Overloaded`],
/// [`ServiceError::Unavailable`]
pub async fn create_user(
    service: &Service,
    permitted: &Permitted,
    form: AccountForm,
    origin: &Origin,
) -> Result<Profile, ServiceError> {
    let (mut new, first_password) =
        form.check(service.rules.accounts.admin_passwords, &service.rules.passwords)?;
    new.password_hash = match first_password {
        FirstPassword::Chosen(password) => Some(service.hashing.hash(password).await?),
        FirstPassword::Brought(hash) => Some(service.hashing.protect(hash).await?),
        FirstPassword::Invited if service.outbox.enabled => None,
        FirstPassword::Invited => return Err(ServiceError::InvitationNeedsMail),
    };
    let (profile, event) = service
        .store
        .create_account(&new, permitted.administrator(), origin)
        .await
        .map_err(|error| permitted.explain(service, error))?;
    service.emit(&event);
    if new.password_hash.is_none() {
        service.outbox.wake();
    }
    Ok(profile)
}

impl AccountForm {
    /// Reports all faults together, so that the caller need not find them one by one.
    fn check(
        self,
        passwords_allowed: bool,
        policy: &PasswordPolicy,
    ) -> Result<(NewAccount, FirstPassword), ServiceError> {
        let mut faults = Vec::new();
        let names = check_account_names((&self.username, &self.email, &self.name), &mut faults);
        let locale = check_locale(self.locale.as_deref(), &mut faults);
        if let (Some(password), Some(username), Some(email), Some(name), true) =
            (&self.password, &names.0, &names.1, &names.2, passwords_allowed)
            && let Err(refusal) = password.check_new(policy, username, email, name)
        {
            faults.push(FieldError::new("password", &refusal.to_string()));
        }
        if !passwords_allowed {
            // An administrator who supplies a hash may know its password.
            let given =
                [("password", self.password.is_some()), ("password_hash", self.password_hash.is_some())];
            for (field, _) in given.into_iter().filter(|(_, given)| *given) {
                faults.push(FieldError::new(field, "is for the owner to choose, by an invitation"));
            }
        }
        let hash = self.password_hash.as_ref().filter(|hash| !hash.is_unusable());
        let hash = hash.map(|hash| ForeignHash::parse(hash.expose()));
        let first_password = match (self.password, hash) {
            // Refused above in any case.
            _ if !passwords_allowed => FirstPassword::Invited,
            (Some(_), Some(_)) => {
                faults.push(FieldError::new("password_hash", "cannot be given beside a password"));
                FirstPassword::Invited
            }
            (None, Some(Err(refusal))) => {
                faults.push(FieldError::new("password_hash", &refusal.to_string()));
                FirstPassword::Invited
            }
            (None, Some(Ok(hash))) => FirstPassword::Brought(hash),
            (Some(password), None) => FirstPassword::Chosen(password),
            (None, None) => FirstPassword::Invited,
        };
        match names {
            (Some(username), Some(email), Some(name)) if faults.is_empty() => {
                let is_superuser = self.is_superuser;
                let new = NewAccount { username, email, name, password_hash: None, is_superuser, locale };
                Ok((new, first_password))
            }
            _ => Err(ServiceError::Invalid(faults)),
        }
    }
}

impl UserForm {
    /// Reports all faults together, so that the caller need not find them one by one.
    pub(in crate::service) fn check_names(
        &self,
        policy: &PasswordPolicy,
    ) -> Result<(Username, EmailAddress, PersonName), ServiceError> {
        let mut faults = Vec::new();
        let names = check_account_names((&self.username, &self.email, &self.name), &mut faults);
        if let (Some(username), Some(email), Some(name)) = &names
            && let Err(refusal) = self.password.check_new(policy, username, email, name)
        {
            faults.push(FieldError::new("password", &refusal.to_string()));
        }
        match names {
            (Some(username), Some(email), Some(name)) if faults.is_empty() => Ok((username, email, name)),
            _ => Err(ServiceError::Invalid(faults)),
        }
    }
}

//! Making an account, by a superuser.

use super::{FieldError, Service, ServiceError, Superuser};
use crate::domain::{AuditEvent, AuditKind, EmailAddress, Origin, Password, PersonName, Username};
use crate::store::{NewUser, Profile};

/// What was asked for, not yet checked.
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
    /// Whether it may administer accounts.
    pub is_superuser: bool,
}

/// Makes the account.
///
/// # Errors
/// [`ServiceError::Invalid`], [`ServiceError::Conflict`], [`ServiceError::Overloaded`],
/// [`ServiceError::Unavailable`]
pub async fn create_user(
    service: &Service,
    superuser: Superuser,
    form: UserForm,
    origin: &Origin,
) -> Result<Profile, ServiceError> {
    let (username, email, name) = form.check_names()?;
    let user = NewUser {
        username,
        email,
        name,
        password_hash: service.hashing.hash(form.password).await?,
        is_superuser: form.is_superuser,
    };
    let actor_id = superuser.user_id();
    let profile = service.store.create_user(&user, actor_id, origin).await?;
    service.tell(&AuditEvent::own(AuditKind::UserCreated, profile.id, origin).by(actor_id));
    Ok(profile)
}

impl UserForm {
    /// All faults at once, so that a person need not find them one by one.
    pub(super) fn check_names(&self) -> Result<(Username, EmailAddress, PersonName), ServiceError> {
        let mut faults = Vec::new();
        let mut fault = |field, message: &str| faults.push(FieldError { field, message: message.to_owned() });
        let username = Username::parse(&self.username);
        if username.is_none() {
            fault("username", "must have 1 to 64 ASCII letters, digits, dots, underscores or hyphens");
        }
        let email = EmailAddress::parse(&self.email);
        if email.is_none() {
            fault("email", "is not an e-mail address");
        }
        let name = PersonName::parse(&self.name);
        if name.is_none() {
            fault("name", "must have 1 to 200 characters and no control characters");
        }
        if let (Some(username), Some(email), Some(name)) = (&username, &email, &name)
            && let Err(refusal) = self.password.check_new(username, email, name)
        {
            fault("password", &refusal.to_string());
        }
        match (username, email, name) {
            (Some(username), Some(email), Some(name)) if faults.is_empty() => Ok((username, email, name)),
            _ => Err(ServiceError::Invalid(faults)),
        }
    }
}

//! One account of an import file.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::derived_group::derive_group_name;
use super::derived_username::derive_username;
use crate::crypto::ForeignHash;
use crate::domain::{EmailAddress, PasswordHash, Username};
use crate::service::FieldError;
use crate::service::fields::{check_account_names, check_locale};
use crate::store::ImportedUser;

/// The fields of a record, and the columns of a CSV file.
pub(in crate::service) const FIELDS: [&str; 8] =
    ["username", "email", "name", "password_hash", "is_superuser", "is_active", "email_verified", "locale"];

/// An account in the file, not yet checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRecord {
    /// See [`Username`]; derived from the address if it is absent, an address or not allowed.
    pub username: Option<String>,
    /// See [`EmailAddress`]; the username if that is an address.
    pub email: Option<String>,
    /// See [`PersonName`](crate::domain::PersonName); the username if absent, or the address if that is absent too.
    pub name: Option<String>,
    /// See [`ForeignHash`]; if absent or unusable, the account has no password yet.
    #[serde(default, deserialize_with = "PasswordHash::deserialize_object")]
    pub password_hash: Option<PasswordHash>,
    /// False if absent.
    pub is_superuser: Option<bool>,
    /// True if absent.
    pub is_active: Option<bool>,
    /// False if absent: only the importing administrator can know.
    pub email_verified: Option<bool>,
    /// See [`Locale`](crate::domain::Locale).
    pub locale: Option<String>,
    /// The groups and roles in the other system; see [`derive_group_name`].
    #[serde(skip)]
    pub groups: Vec<String>,
}

/// A valid record. The hash that is to be stored is computed only for an account that is created.
#[derive(Debug, Clone)]
pub(in crate::service) struct CheckedRecord {
    pub(in crate::service) user: ImportedUser,
    pub(in crate::service) hash: Option<ForeignHash>,
}

impl ImportRecord {
    /// Checks all fields.
    ///
    /// # Errors
    /// All faults in one line, without any value.
    pub(in crate::service) fn check(self) -> Result<CheckedRecord, String> {
        let mut faults = Vec::new();
        let former = self.username.as_deref();
        let email = self.email.as_deref().or_else(|| former.filter(|name| name.contains('@')));
        let Some(email) = email else { return Err("email is missing".to_owned()) };
        let derived = EmailAddress::parse(email)
            .filter(|_| former.and_then(Username::parse).is_none())
            .and_then(|email| derive_username(former, &email));
        let username = derived.as_ref().map(Username::as_str).or(former).unwrap_or_default();
        let default_name = if derived.is_some() { email } else { username };
        let name = self.name.as_deref().unwrap_or(default_name);
        let names = check_account_names((username, email, name), &mut faults);
        let locale = check_locale(self.locale.as_deref(), &mut faults);
        let groups: BTreeSet<_> = self.groups.iter().filter_map(|former| derive_group_name(former)).collect();
        let hash = self.password_hash.as_ref();
        let hash = hash.filter(|hash| !hash.is_unusable() && !hash.expose().is_empty());
        let hash = hash.map(|hash| ForeignHash::parse(hash.expose()));
        if let Some(Err(refusal)) = &hash {
            faults.push(FieldError::new("password_hash", &refusal.to_string()));
        }
        match names {
            (Some(username), Some(email), Some(name)) if faults.is_empty() => Ok(CheckedRecord {
                user: ImportedUser {
                    username,
                    username_derived: derived.is_some(),
                    email,
                    name,
                    password_hash: None,
                    is_superuser: self.is_superuser.unwrap_or(false),
                    is_active: self.is_active.unwrap_or(true),
                    email_verified: self.email_verified.unwrap_or(false),
                    locale,
                    groups: groups.into_iter().collect(),
                },
                hash: hash.and_then(Result::ok),
            }),
            _ => Err(faults
                .iter()
                .map(|fault| format!("{} {}", fault.field, fault.message))
                .collect::<Vec<_>>()
                .join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Password;
    use crate::service::{AccountForm, PasswordForm, RegistrationForm, UserForm};

    const HASH: &str = "$2b$05$Qju3B.C7G10c5ShdNUCusOQGD0rWNmh9XrLOOXaVLWzMBOaCtzl0m";

    #[test]
    fn what_is_asked_for_can_be_printed_without_its_secrets() {
        let (username, email, name) = ("ada".to_owned(), "ada@example.com".to_owned(), "Ada".to_owned());
        let password = Password::presented("NeverLogged");
        let record = ImportRecord {
            username: Some(username.clone()),
            email: Some(email.clone()),
            password_hash: Some(PasswordHash::new(HASH)),
            ..ImportRecord::default()
        };
        let imported = record.clone().check();
        let account = AccountForm {
            username: username.clone(),
            email: email.clone(),
            name: name.clone(),
            password: Some(password.clone()),
            password_hash: Some(PasswordHash::new(HASH)),
            is_superuser: false,
            locale: None,
        };
        let user = UserForm {
            username: username.clone(),
            email: email.clone(),
            name: name.clone(),
            password: password.clone(),
        };
        let registration = RegistrationForm {
            username,
            email,
            name,
            password: password.clone(),
            locale: None,
            accepted: vec![],
        };
        let change = PasswordForm {
            current_password: password.clone(),
            new_password: password,
            keep_other_sessions: false,
        };
        let foreign = ForeignHash::parse(HASH);
        let printed =
            format!("{record:?} {imported:?} {account:?} {user:?} {registration:?} {change:?} {foreign:?}");
        for secret in ["NeverLogged", "$2b$", &HASH[7..]] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert!(printed.contains("[redacted]") && printed.contains("ada@example.com"), "{printed}");
    }
}

//! One account of an import file.

use serde::Deserialize;

use super::FieldError;
use super::create_user::{check_account_names, check_locale};
use crate::crypto::ForeignHash;
use crate::store::ImportedUser;

/// The fields that a file may have; the columns of a CSV file.
pub(super) const FIELDS: [&str; 8] =
    ["username", "email", "name", "password_hash", "is_superuser", "is_active", "email_verified", "locale"];

/// An account as the file has it, not yet checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRecord {
    /// See [`Username`](crate::domain::Username).
    pub username: String,
    /// See [`EmailAddress`](crate::domain::EmailAddress).
    pub email: String,
    /// See [`PersonName`](crate::domain::PersonName); the username when absent.
    pub name: Option<String>,
    /// See [`ForeignHash`]; absent: no password yet.
    pub password_hash: Option<String>,
    /// No when absent.
    pub is_superuser: Option<bool>,
    /// Yes when absent.
    pub is_active: Option<bool>,
    /// No when absent: whoever imports must know it.
    pub email_verified: Option<bool>,
    /// See [`Locale`](crate::domain::Locale).
    pub locale: Option<String>,
}

impl ImportRecord {
    /// Checks everything.
    ///
    /// # Errors
    /// All faults in one line; it repeats no value.
    pub(super) fn check(self) -> Result<ImportedUser, String> {
        let mut faults = Vec::new();
        let name = self.name.as_deref().unwrap_or(&self.username);
        let names = check_account_names((&self.username, &self.email, name), &mut faults);
        let locale = check_locale(self.locale.as_deref(), &mut faults);
        let password_hash = self.password_hash.as_deref().map(ForeignHash::parse);
        if let Some(Err(refusal)) = &password_hash {
            faults.push(FieldError::new("password_hash", &refusal.to_string()));
        }
        match names {
            (Some(username), Some(email), Some(name)) if faults.is_empty() => Ok(ImportedUser {
                username,
                email,
                name,
                password_hash: password_hash.and_then(Result::ok).map(|hash| hash.as_str().to_owned()),
                is_superuser: self.is_superuser.unwrap_or(false),
                is_active: self.is_active.unwrap_or(true),
                email_verified: self.email_verified.unwrap_or(false),
                locale,
            }),
            _ => Err(faults
                .iter()
                .map(|fault| format!("{} {}", fault.field, fault.message))
                .collect::<Vec<_>>()
                .join("; ")),
        }
    }
}

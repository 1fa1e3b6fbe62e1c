//! The accounts of Auth0: the members that its export of users and its export of password hashes have in common.

use std::io;

use serde_json::{Map, Value};

use crate::{Fields, PasswordFile};

/// The normalised name of the member in which the export of password hashes has a hash.
pub(crate) const HASH: &str = "passwordhash";

/// Normalises the names of members: the export may contain `Email Verified` where the API has `email_verified`.
pub fn normalize(object: &Map<String, Value>) -> Map<String, Value> {
    object.iter().map(|(key, value)| (normalize_name(key), value.clone())).collect()
}

pub(crate) fn normalize_name(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(' ', "_")
}

/// The password hash of an account whose names are normalised: its own, as in files for the bulk import, or else the one in
/// `passwords`. Auth0's `custom_password_hash` is returned as JSON.
///
/// # Errors
/// The file of password hashes cannot be read.
pub fn password_hash(user: Fields<'_>, passwords: Option<&mut PasswordFile>) -> io::Result<Option<String>> {
    let own = own_hash(user);
    let Some(passwords) = passwords.filter(|_| own.is_none()) else { return Ok(own) };
    let identity = Identity::of(user);
    passwords.find(identity.keys(), |object| {
        let entry = normalize(object);
        let entry = Fields(&entry);
        Identity::of(entry).is_same(&identity).then(|| own_hash(entry)).flatten()
    })
}

pub(crate) fn own_hash(user: Fields<'_>) -> Option<String> {
    let custom = user.object("custom_password_hash").map(|custom| Value::from(custom.0.clone()).to_string());
    custom.or_else(|| user.first_text(&[HASH, "password_hash"]).map(str::to_owned))
}

/// Returns the address and whether it is verified. Some exports of hashes contain it only in the identifiers.
///
/// # Errors
/// It does not say whether the address is verified in a way that can be read.
pub fn email(user: Fields<'_>) -> Result<(Option<&str>, Option<bool>), String> {
    let own = user.text("email");
    if own.is_some() {
        return Ok((own, user.flag("email_verified")?));
    }
    let mut identifiers = user.array("identifiers").filter_map(Value::as_object).map(Fields);
    match identifiers.find(|identifier| identifier.text("type") == Some("email")) {
        Some(email) => Ok((email.text("value"), email.flag("verified")?)),
        None => Ok((None, None)),
    }
}

/// The key of an account in both exports: its id, or else its address.
struct Identity {
    id: Option<String>,
    email: Option<String>,
}

impl Identity {
    fn of(user: Fields<'_>) -> Self {
        // The export of users has `auth0|5dea…`; the export of hashes has the last part, or `alt_id`.
        let full = user.first_text(&["user_id", "id"]).map(|id| id.rsplit('|').next().unwrap_or(id));
        let object_id = user.object("_id").and_then(|id| id.text("$oid"));
        let id = full.or_else(|| user.text("alt_id")).or(object_id);
        let email = email(user).ok().and_then(|(email, _)| email);
        Self { id: id.map(str::to_owned), email: email.map(str::to_ascii_lowercase) }
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        [self.id.as_deref(), self.email.as_deref()].into_iter().flatten()
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.id, &other.id) {
            (Some(own), Some(other)) => own == other,
            _ => self.email.is_some() && self.email == other.email,
        }
    }
}

/// The keys of an entry of the export of hashes.
pub(crate) fn keys_of(object: &Map<String, Value>) -> Vec<String> {
    let members = normalize(object);
    Identity::of(Fields(&members)).keys().map(str::to_owned).collect()
}

//! Auth0's export of users (JSON lines or CSV), its export of password hashes (JSON lines), and files for its bulk import.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::fields::{Fields, full_name};
use super::password_file::PasswordFile;
use crate::domain::PasswordHash;
use crate::service::imports::record::ImportRecord;

/// Normalises the names of members: the export may contain `Email Verified` where the API has `email_verified`.
fn normalize(object: &Map<String, Value>) -> Map<String, Value> {
    let name = |name: &String| name.trim().to_ascii_lowercase().replace(' ', "_");
    object.iter().map(|(key, value)| (name(key), value.clone())).collect()
}

pub(super) fn convert(
    object: &Map<String, Value>,
    passwords: Option<&mut PasswordFile>,
) -> io::Result<Option<Result<ImportRecord, String>>> {
    let members = normalize(object);
    let user = Fields(&members);
    let own = own_hash(user);
    let hash = match (own, passwords) {
        (None, Some(passwords)) => {
            let identity = Identity::of(user);
            let found = passwords.find(identity.keys(), |object| {
                let entry = normalize(object);
                let entry = Fields(&entry);
                Identity::of(entry).is_same(&identity).then(|| own_hash(entry)).flatten()
            });
            found?
        }
        (own, _) => own,
    };
    Ok(Some(read(user, hash)))
}

fn own_hash(user: Fields<'_>) -> Option<PasswordHash> {
    let custom = user.object("custom_password_hash").map(|custom| Value::from(custom.0.clone()));
    custom
        .map(|custom| PasswordHash::new(custom.to_string()))
        .or_else(|| user.hash("passwordhash"))
        .or_else(|| user.hash("password_hash"))
}

fn read(user: Fields<'_>, password_hash: Option<PasswordHash>) -> Result<ImportRecord, String> {
    let (email, verified) = email(user)?;
    let name = full_name(&[user.text("given_name"), user.text("family_name")]);
    let whole = user.first_text(&["name", "nickname"]).filter(|name| Some(*name) != email);
    Ok(ImportRecord {
        username: user.owned("username"),
        email: email.map(str::to_owned),
        name: full_name(&[whole]).or(name),
        password_hash,
        is_superuser: None,
        is_active: user.flag("blocked")?.map(|blocked| !blocked),
        email_verified: verified,
        locale: None,
        groups: Vec::new(),
    })
}

/// Returns the address and whether it is verified. Some exports of hashes contain it only in the identifiers.
fn email(user: Fields<'_>) -> Result<(Option<&str>, Option<bool>), String> {
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

/// Opens the export of password hashes.
///
/// # Errors
/// The file cannot be read or is not JSON lines.
pub fn open_password_file(path: &Path) -> io::Result<PasswordFile> {
    PasswordFile::open(path, keys_of)
}

/// The keys of an entry of the export of hashes.
fn keys_of(object: &Map<String, Value>) -> Vec<String> {
    let members = normalize(object);
    Identity::of(Fields(&members)).keys().map(str::to_owned).collect()
}

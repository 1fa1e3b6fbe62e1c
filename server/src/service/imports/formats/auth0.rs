//! Auth0's export of users (JSON lines or CSV), its export of password hashes (JSON lines), and files for its bulk import.

use std::io;

use latchkey_exports::{Fields, PasswordFile, auth0};
use serde_json::{Map, Value};

use super::fields::full_name;
use crate::domain::PasswordHash;
use crate::service::imports::record::ImportRecord;

pub(super) fn convert(
    object: &Map<String, Value>,
    passwords: Option<&mut PasswordFile>,
) -> io::Result<Option<Result<ImportRecord, String>>> {
    let members = auth0::normalize(object);
    let user = Fields(&members);
    let hash = auth0::password_hash(user, passwords)?.map(PasswordHash::new);
    Ok(Some(read(user, hash)))
}

fn read(user: Fields<'_>, password_hash: Option<PasswordHash>) -> Result<ImportRecord, String> {
    let (email, verified) = auth0::email(user)?;
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

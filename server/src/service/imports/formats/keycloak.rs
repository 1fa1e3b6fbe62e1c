//! Users of a Keycloak realm (`UserRepresentation`).

use latchkey_exports::Fields;
use serde_json::Value;

use super::fields::{full_name, locale};
use crate::domain::PasswordHash;
use crate::service::imports::record::ImportRecord;

/// Roles that Keycloak gives to every account, for its own purposes.
const BUILT_IN_ROLES: [&str; 2] = ["offline_access", "uma_authorization"];
/// The beginning of the name of the role that contains them.
const DEFAULT_ROLES: &str = "default-roles-";

/// Service accounts are skipped because they belong to clients.
pub(super) fn convert(user: Fields<'_>) -> Option<Result<ImportRecord, String>> {
    if user.text("serviceAccountClientId").is_some() {
        return None;
    }
    if user.text("realm").is_some() && user.text("username").is_none() {
        return Some(Err("is a realm without users; export it with --users realm_file".to_owned()));
    }
    Some(read(user))
}

fn read(user: Fields<'_>) -> Result<ImportRecord, String> {
    let password = user
        .array("credentials")
        .find(|credential| credential.get("type").and_then(Value::as_str) == Some("password"));
    let language = user
        .object("attributes")
        .and_then(|attributes| attributes.array("locale").next())
        .and_then(Value::as_str);
    Ok(ImportRecord {
        username: user.owned("username"),
        email: user.owned("email"),
        name: full_name(&[user.text("firstName"), user.text("lastName")]),
        password_hash: password.map(|credential| PasswordHash::new(credential.to_string())),
        is_superuser: None,
        is_active: user.flag("enabled")?,
        email_verified: user.flag("emailVerified")?,
        locale: language.and_then(locale),
        groups: groups(user),
    })
}

/// The paths of the groups, which begin with a slash, and the names of the realm's roles.
fn groups(user: Fields<'_>) -> Vec<String> {
    let is_own = |role: &&str| !BUILT_IN_ROLES.contains(role) && !role.starts_with(DEFAULT_ROLES);
    let roles = user.array("realmRoles").filter_map(Value::as_str).filter(is_own);
    user.array("groups").filter_map(Value::as_str).chain(roles).map(str::to_owned).collect()
}

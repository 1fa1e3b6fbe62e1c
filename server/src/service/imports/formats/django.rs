//! Users in the output of Django's `manage.py dumpdata`.

use latchkey_exports::Fields;

use super::fields::{full_name, locale};
use crate::domain::PasswordHash;
use crate::service::imports::record::ImportRecord;

const MD5_HEX: usize = 32;

/// Objects of other models are skipped. A user model, which may be custom, has a `password` (`AbstractBaseUser`) and a
/// username or an address.
pub(super) fn convert(object: Fields<'_>) -> Option<Result<ImportRecord, String>> {
    let fields = object.object("fields")?;
    object.text("model")?;
    let has = |name| fields.0.contains_key(name);
    let is_user = has("password") && ["last_login", "username", "email"].into_iter().any(has);
    is_user.then(|| read(fields))
}

fn read(user: Fields<'_>) -> Result<ImportRecord, String> {
    let name = full_name(&[user.text("first_name"), user.text("last_name")]);
    let whole = user.first_text(&["name", "full_name", "display_name"]);
    Ok(ImportRecord {
        username: user.owned("username"),
        email: user.first_text(&["email", "email_address"]).map(str::to_owned),
        name: name.or_else(|| full_name(&[whole])),
        password_hash: user.text("password").map(password_hash),
        is_superuser: user.flag("is_superuser")?,
        is_active: user.flag("is_active")?,
        email_verified: user.flag("email_verified")?,
        locale: user.first_text(&["locale", "language"]).and_then(locale),
        groups: Vec::new(),
    })
}

/// Django interprets 32 characters without a `$` as an MD5 digest (`UnsaltedMD5PasswordHasher`).
fn password_hash(text: &str) -> PasswordHash {
    if text.len() == MD5_HEX && !text.contains('$') {
        return PasswordHash::new(format!("md5$${text}"));
    }
    PasswordHash::new(text)
}

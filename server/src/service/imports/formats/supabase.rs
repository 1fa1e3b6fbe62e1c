//! Rows of Supabase's table `auth.users`.

use chrono::{DateTime, Utc};
use latchkey_exports::Fields;
use serde_json::{Map, Value};

use super::fields::{full_name, locale};
use crate::domain::PasswordHash;
use crate::service::imports::record::ImportRecord;

/// Deleted and anonymous users are skipped.
pub(super) fn convert(row: Fields<'_>, now: DateTime<Utc>) -> Option<Result<ImportRecord, String>> {
    let is_anonymous = row.flag("is_anonymous") == Ok(Some(true));
    if is_anonymous || row.text("deleted_at").is_some() {
        return None;
    }
    Some(Ok(read(row, now)))
}

fn read(row: Fields<'_>, now: DateTime<Utc>) -> ImportRecord {
    // An object in JSON, a string that contains the object in CSV.
    let metadata: Map<String, Value> = match row.value("raw_user_meta_data") {
        Some(Value::Object(object)) => object.clone(),
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        _ => Map::new(),
    };
    let metadata = Fields(&metadata);
    let username = metadata.first_text(&["username", "user_name", "preferred_username"]);
    ImportRecord {
        username: username.map(str::to_owned),
        email: row.owned("email"),
        name: full_name(&[metadata.first_text(&["full_name", "name", "display_name"])]),
        password_hash: row.text("encrypted_password").map(PasswordHash::new),
        is_superuser: None,
        is_active: Some(!row.text("banned_until").is_some_and(|until| is_future(until, now))),
        email_verified: Some(row.first_text(&["email_confirmed_at", "confirmed_at"]).is_some()),
        locale: metadata.first_text(&["locale", "language"]).and_then(locale),
        groups: Vec::new(),
    }
}

/// Parses `2026-01-31 12:00:00.5+00` and RFC 3339. Other text, such as `infinity`, counts as the future.
fn is_future(text: &str, now: DateTime<Utc>) -> bool {
    let postgres = |format| DateTime::parse_from_str(text, format);
    let time = DateTime::parse_from_rfc3339(text)
        .or_else(|_| postgres("%Y-%m-%d %H:%M:%S%.f%#z"))
        .or_else(|_| postgres("%Y-%m-%dT%H:%M:%S%.f%#z"));
    time.map_or(true, |time| time > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_ends_at_its_time_in_each_format() {
        let now = DateTime::parse_from_rfc3339("2026-06-01T00:00:00Z").unwrap().to_utc();
        for past in ["2026-05-31 23:59:59+00", "2026-05-31 23:59:59.123456+00", "2026-05-31T23:59:59Z"] {
            assert!(!is_future(past, now), "{past}");
        }
        for future in
            ["2026-06-01 00:00:01+00", "2026-05-31 23:59:59-05:30", "infinity", "2126-05-31T23:59:59+00:00"]
        {
            assert!(is_future(future, now), "{future}");
        }
    }
}

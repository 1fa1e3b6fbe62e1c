//! What members of an exported account become.

use crate::domain::{Locale, PersonName};

/// Joins the parts of a name; `None` if the result is not allowed, so that a name never prevents the import of an account.
pub(super) fn full_name(parts: &[Option<&str>]) -> Option<String> {
    let name = parts.iter().flatten().map(|part| part.trim()).collect::<Vec<_>>().join(" ");
    PersonName::parse(&name).map(|name| name.as_str().to_owned())
}

/// Returns the text as a language tag if it is valid.
pub(super) fn locale(text: &str) -> Option<String> {
    let tag = text.replace('_', "-");
    Locale::parse(&tag).is_some().then_some(tag)
}

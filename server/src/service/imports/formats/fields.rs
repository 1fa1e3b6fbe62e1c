//! Access to the members of an exported account.

use serde_json::{Map, Value};

use crate::domain::{Locale, PasswordHash, PersonName};
use crate::service::imports::reader::parse_flag;

/// An object of an export. Null and empty members are treated as absent.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn value(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.value(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The first of these members that is present.
    pub(super) fn first_text(self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.text(name))
    }

    pub(super) fn owned(self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A boolean in any of the forms of [`parse_flag`].
    pub(super) fn flag(self, name: &str) -> Result<Option<bool>, String> {
        let read = match self.value(name) {
            None => return Ok(None),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => parse_flag(text),
            Some(other) => other.as_u64().filter(|number| *number < 2).map(|number| number == 1),
        };
        read.map(Some).ok_or_else(|| format!("{name} must be true or false"))
    }

    pub(super) fn object(self, name: &str) -> Option<Fields<'a>> {
        self.value(name).and_then(Value::as_object).map(Fields)
    }

    pub(super) fn array(self, name: &str) -> impl Iterator<Item = &'a Value> {
        self.value(name).and_then(Value::as_array).into_iter().flatten()
    }

    pub(super) fn hash(self, name: &str) -> Option<PasswordHash> {
        self.text(name).map(PasswordHash::new)
    }
}

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

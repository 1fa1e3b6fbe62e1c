//! The members of an exported account.

use serde_json::{Map, Value};

use crate::domain::{Locale, PasswordHash, PersonName};
use crate::service::imports::reader::parse_flag;

/// An object of an export. Members that are null or empty count as absent.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn value(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(self, name: &str) -> Option<&'a str> {
        self.value(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The first of these that is there.
    pub(super) fn first_text(self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.text(name))
    }

    pub(super) fn owned(self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A truth value in any form.
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

/// The parts of a name in one; absent if it is not one that is allowed here, since a name is no reason to leave a person
/// behind.
pub(super) fn full_name(parts: &[Option<&str>]) -> Option<String> {
    let name = parts.iter().flatten().map(|part| part.trim()).collect::<Vec<_>>().join(" ");
    PersonName::parse(&name).map(|name| name.as_str().to_owned())
}

/// A language tag, if it is one.
pub(super) fn locale(text: &str) -> Option<String> {
    let tag = text.replace('_', "-");
    Locale::parse(&tag).is_some().then_some(tag)
}

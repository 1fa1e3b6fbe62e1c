//! Access to the members of an exported account.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

/// An object of an export. Null and empty members are treated as absent.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// A member.
    pub fn value(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A member that is a text.
    pub fn text(self, name: &str) -> Option<&'a str> {
        self.value(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The first of these members that is present.
    pub fn first_text(self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.text(name))
    }

    /// [`Fields::text`] as a copy.
    pub fn owned(self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A boolean in any of the forms of [`parse_flag`].
    ///
    /// # Errors
    /// The member is something else; the message does not repeat it.
    pub fn flag(self, name: &str) -> Result<Option<bool>, String> {
        let read = match self.value(name) {
            None => return Ok(None),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => parse_flag(text),
            Some(other) => other.as_u64().filter(|number| *number < 2).map(|number| number == 1),
        };
        read.map(Some).ok_or_else(|| format!("{name} must be true or false"))
    }

    /// A member that is an object.
    pub fn object(self, name: &str) -> Option<Fields<'a>> {
        self.value(name).and_then(Value::as_object).map(Fields)
    }

    /// The elements of a member that is an array.
    pub fn array(self, name: &str) -> impl Iterator<Item = &'a Value> {
        self.value(name).and_then(Value::as_array).into_iter().flatten()
    }
}

/// Parses the booleans of databases and spreadsheets.
pub fn parse_flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Some(true),
        "false" | "f" | "0" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

/// Removes the byte order mark and surrounding whitespace.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii()
}

/// Whether the file begins with an array or an object, or is empty.
///
/// # Errors
/// The file cannot be read.
pub fn looks_like_json(input: &mut impl BufRead) -> io::Result<bool> {
    let beginning = input.fill_buf()?;
    Ok(matches!(without_mark(beginning).first(), Some(b'{' | b'[') | None))
}

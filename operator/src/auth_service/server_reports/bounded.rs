//! Bounds the report of a replica while it is parsed. The server image is chosen by the user of a namespace, and the
//! operator serves all namespaces.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The maximum number of signing keys in a report; a set has three during a rotation.
pub(super) const KEYS: usize = 16;
/// The maximum number of dependencies in a report.
pub(super) const DEPENDENCIES: usize = 16;
/// The maximum length of a name, id or version, in bytes.
pub(super) const NAME: usize = 64;
/// The maximum length of a message, in bytes; longer messages are truncated.
pub(super) const MESSAGE: usize = 256;

/// A name, an id or a version. A longer one is an error, because truncated it would identify something else.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Text { cuts: false })
}

/// The same, or `null`.
pub(super) fn optional_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Name>::deserialize(deserializer)?.map(|Name(name)| name))
}

/// A message; truncated if it is too long.
pub(super) fn message<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Text { cuts: true })
}

/// A list with a maximum number of elements.
pub(super) fn keys<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(List(PhantomData))
}

/// A map with a maximum number of members, counting duplicates.
pub(super) fn dependencies<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_map(Members(PhantomData))
}

#[derive(Deserialize)]
struct Name(#[serde(deserialize_with = "name")] String);

struct Text {
    cuts: bool,
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a short text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        if self.cuts {
            let end = text.floor_char_boundary(MESSAGE);
            let printable = text[..end].chars().filter(|c| !c.is_control());
            let mut message: String = printable.collect();
            if end < text.len() {
                message.push('…');
            }
            return Ok(message);
        }
        if text.len() > NAME {
            return Err(E::custom(format_args!("a name of more than {NAME} bytes")));
        }
        Ok(text.to_owned())
    }
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a short list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut read = Vec::new();
        while let Some(element) = elements.next_element()? {
            if read.len() == KEYS {
                return Err(A::Error::custom(format_args!("more than {KEYS} signing keys")));
            }
            read.push(element);
        }
        Ok(read)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a small object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeMap::new();
        let mut seen = 0;
        while let Some(Name(name)) = members.next_key()? {
            seen += 1;
            if seen > DEPENDENCIES {
                return Err(A::Error::custom(format_args!("more than {DEPENDENCIES} dependencies")));
            }
            read.insert(name, members.next_value()?);
        }
        Ok(read)
    }
}

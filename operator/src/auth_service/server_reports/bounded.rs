//! Bounds what is kept of a replica's report while it is read. The image of a server is its tenant's choice, and the
//! operator serves all tenants.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The most signing keys that a report names; a set has three in the middle of a rotation.
pub(super) const KEYS: usize = 16;
/// The most dependencies that a report names.
pub(super) const DEPENDENCIES: usize = 16;
/// The longest name, id or version, in bytes.
pub(super) const NAME: usize = 64;
/// The longest message, in bytes; what is longer is cut.
pub(super) const MESSAGE: usize = 256;

/// A name, an id or a version: a longer one is an error, as cut it would name something else.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Text { cuts: false })
}

/// The same, or `null`.
pub(super) fn optional_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Name>::deserialize(deserializer)?.map(|Name(name)| name))
}

/// A sentence, cut where it is long.
pub(super) fn message<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Text { cuts: true })
}

/// A list of so many elements at most.
pub(super) fn keys<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(List(PhantomData))
}

/// A map of so many members at most, also when they have the same name.
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
            let mut kept: String = printable.collect();
            if end < text.len() {
                kept.push('…');
            }
            return Ok(kept);
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
        let mut kept = Vec::new();
        while let Some(element) = elements.next_element()? {
            if kept.len() == KEYS {
                return Err(A::Error::custom(format_args!("more than {KEYS} signing keys")));
            }
            kept.push(element);
        }
        Ok(kept)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a small object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut kept = BTreeMap::new();
        let mut seen = 0;
        while let Some(Name(name)) = members.next_key()? {
            seen += 1;
            if seen > DEPENDENCIES {
                return Err(A::Error::custom(format_args!("more than {DEPENDENCIES} dependencies")));
            }
            kept.insert(name, members.next_value()?);
        }
        Ok(kept)
    }
}

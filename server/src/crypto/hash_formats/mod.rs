//! Parsers of the formats in which other systems store password hashes, with limits of their cost.

mod aspnet;
mod checked;
mod dollar;
mod json;
mod parsed;
mod prefixed;

pub(super) use json::rewrite;
pub(super) use parsed::Parsed;

use super::hash_refusal::HashRefusal;
use super::stored_hash::StoredHash;

/// The longest string that is parsed, in bytes.
const MAX_TEXT: usize = 2048;

/// Parses any format except JSON, which [`rewrite`] converts.
pub(super) fn parse(text: &str) -> Result<Parsed, HashRefusal> {
    // PostgreSQL cannot store a zero byte, and no format has control characters.
    if text.len() > MAX_TEXT || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(HashRefusal::UnknownFormat);
    }
    parse_form(text)
}

/// Parses a stored hash. Fast digests are never stored, so they match no password.
pub(super) fn parse_stored(text: &str) -> Result<StoredHash, HashRefusal> {
    match parse(text)? {
        Parsed::Stored(hash) => Ok(hash),
        Parsed::Fast(_) => Err(HashRefusal::UnknownFormat),
    }
}

fn parse_form(text: &str) -> Result<Parsed, HashRefusal> {
    let text = prefixed::strip_redundant(text);
    if text.starts_with('{') {
        prefixed::parse(text)
    } else if text.contains('$') {
        dollar::parse(text)
    } else {
        aspnet::parse(text).map(Parsed::Stored)
    }
}

//! Parsers of the formats in which other systems store password hashes, with limits of their cost.

mod aspnet;
mod checked;
mod dollar;
mod json;
mod prefixed;

pub(super) use json::rewrite;

use super::hash_functions::FastHash;
use super::hash_refusal::HashRefusal;
use super::stored_hash::StoredHash;

/// The longest string that is parsed, in bytes.
const MAX_TEXT: usize = 2048;

#[derive(Clone, PartialEq)]
pub(super) enum Parsed {
    /// The hash of a password hash function, which can be stored.
    Stored(StoredHash),
    /// A digest, which must be stored below argon2id.
    Fast(FastHash),
}

/// Parses any format except JSON, which [`rewrite`] converts.
pub(super) fn parse(text: &str) -> Result<Parsed, HashRefusal> {
    if text.len() > MAX_TEXT || !text.is_ascii() {
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
    if text.starts_with('{') {
        prefixed::parse(text)
    } else if text.contains('$') {
        dollar::parse(text)
    } else {
        aspnet::parse(text).map(Parsed::Stored)
    }
}

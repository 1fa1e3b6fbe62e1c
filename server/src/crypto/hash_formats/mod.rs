//! The string forms in which other systems write password hashes. Each is read into a type that can be computed, and
//! what it asks of the server is limited.

mod aspnet;
mod checked;
mod dollar;
mod json;
mod prefixed;

pub(super) use json::rewrite;

use super::hash_functions::FastHash;
use super::hash_refusal::HashRefusal;
use super::stored_hash::StoredHash;

/// The longest string that is looked at, in bytes.
const MAX_TEXT: usize = 2048;

/// A hash in a form that is known.
#[derive(Clone, PartialEq)]
pub(super) enum Parsed {
    /// A function for passwords: it can be stored as it is.
    Stored(StoredHash),
    /// A digest: it must be stored below argon2id.
    Fast(FastHash),
}

/// Reads any of the forms; JSON is to be rewritten first.
pub(super) fn parse(text: &str) -> Result<Parsed, HashRefusal> {
    if text.len() > MAX_TEXT || !text.is_ascii() {
        return Err(HashRefusal::UnknownForm);
    }
    parse_form(text)
}

/// Reads a hash that is stored. A bare digest never is, so it matches no password.
pub(super) fn parse_stored(text: &str) -> Result<StoredHash, HashRefusal> {
    match parse(text)? {
        Parsed::Stored(hash) => Ok(hash),
        Parsed::Fast(_) => Err(HashRefusal::UnknownForm),
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

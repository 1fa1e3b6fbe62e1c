//! The result of parsing.

use crate::crypto::hash_functions::FastHash;
use crate::crypto::stored_hash::StoredHash;

#[derive(Clone, PartialEq)]
pub(in crate::crypto) enum Parsed {
    /// The hash of a password hash function, which can be stored.
    Stored(StoredHash),
    /// A digest, which must be stored below argon2id.
    Fast(FastHash),
}

//! Password hashes of accounts that are imported from another system.

use std::fmt;

use super::hash_formats::{Parsed, parse, rewrite};
use super::hash_functions::FastHash;
use super::hash_refusal::HashRefusal;
use super::stored_hash::StoredHash;
use crate::domain::PasswordHash;

/// A hash of another system whose format and cost were checked.
#[derive(Clone, PartialEq)]
pub struct ForeignHash(pub(super) ForeignKind);

#[derive(Clone, PartialEq)]
pub(super) enum ForeignKind {
    /// A password hash, which is stored in this form.
    Stored(PasswordHash),
    /// A digest, which is stored below argon2id.
    Fast(FastHash),
}

impl ForeignHash {
    /// # Errors
    /// [`HashRefusal`]
    pub fn parse(text: &str) -> Result<Self, HashRefusal> {
        let rewritten = rewrite(text).transpose()?;
        let text = rewritten.as_deref().unwrap_or(text);
        Ok(Self(match parse(text)? {
            // The form without the project's key, which is not needed for verification.
            Parsed::Stored(StoredHash::Firebase(hash)) => {
                ForeignKind::Stored(PasswordHash::new(hash.describe()))
            }
            Parsed::Stored(_) => ForeignKind::Stored(PasswordHash::new(text)),
            Parsed::Fast(hash) => ForeignKind::Fast(hash),
        }))
    }
}

impl fmt::Debug for ForeignHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
#[path = "foreign_hash_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "foreign_hash_limits_tests.rs"]
mod limits_tests;

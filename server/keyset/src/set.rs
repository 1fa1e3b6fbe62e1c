//! Sets of private keys.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::jwk::{Phase, PrivateJwk, PublicKeySet, is_default};
use crate::notes::SetNotes;

/// Why a key set is refused. The messages contain no key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// The text is not a JWK Set of private keys.
    #[error("the key set is not a JSON object of private keys with kid, alg and latchkey_phase")]
    Malformed,
    /// One key is unusable.
    #[error("key `{kid}` {reason}")]
    Key {
        /// The key's id.
        kid: String,
        /// The rest of the sentence.
        reason: String,
    },
    /// The number of active keys is not one.
    #[error("the key set has {0} active keys; exactly one must be active")]
    ActiveKeys(usize),
    /// Two keys share an id.
    #[error("key id `{0}` occurs twice")]
    DuplicateKid(String),
    /// The system returned no randomness.
    #[error("no key could be generated")]
    Generation,
}

/// A valid set of private keys: every key can sign, ids are unique, and exactly one key is active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrivateKeySet {
    keys: Vec<PrivateJwk>,
    #[serde(skip_serializing_if = "is_default")]
    latchkey_notes: SetNotes,
}

#[derive(Deserialize)]
struct Unchecked {
    keys: Vec<PrivateJwk>,
    #[serde(default)]
    latchkey_notes: SetNotes,
}

impl PrivateKeySet {
    /// Creates a set without notes.
    ///
    /// # Errors
    /// The first violated rule.
    pub fn new(keys: Vec<PrivateJwk>) -> Result<Self, KeySetError> {
        Self::with_notes(keys, SetNotes::default())
    }

    /// Creates a set with notes.
    ///
    /// # Errors
    /// The first violated rule.
    pub fn with_notes(keys: Vec<PrivateJwk>, latchkey_notes: SetNotes) -> Result<Self, KeySetError> {
        let mut kids = HashSet::new();
        for key in &keys {
            if key.public.kid.is_empty() {
                return Err(key.public.error("has an empty kid"));
            }
            if !kids.insert(&key.public.kid) {
                return Err(KeySetError::DuplicateKid(key.public.kid.clone()));
            }
            key.to_der()?;
        }
        match keys.iter().filter(|key| key.latchkey_phase == Phase::Active).count() {
            1 => Ok(Self { keys, latchkey_notes }),
            other => Err(KeySetError::ActiveKeys(other)),
        }
    }

    /// Parses a set from JSON.
    ///
    /// # Errors
    /// The first violated rule. The message contains no key material.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let unchecked: Unchecked = serde_json::from_slice(json).map_err(|_| KeySetError::Malformed)?;
        Self::with_notes(unchecked.keys, unchecked.latchkey_notes)
    }

    /// The set as JSON, including the private keys.
    pub fn to_json(&self) -> String {
        // Serialising a struct of strings cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The keys in their order.
    pub fn keys(&self) -> &[PrivateJwk] {
        &self.keys
    }

    /// The notes about the set.
    pub fn notes(&self) -> &SetNotes {
        &self.latchkey_notes
    }

    /// The public keys of the set.
    pub fn to_public(&self) -> PublicKeySet {
        PublicKeySet { keys: self.keys.iter().map(|key| key.public.clone()).collect() }
    }
}

//! The set: parsed and checked as a whole.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::jwk::{Phase, PrivateJwk, PublicKeySet, is_default};
use crate::notes::SetNotes;

/// Why a key set is refused. No sentence repeats key material.
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
    /// Not exactly one key signs.
    #[error("the key set has {0} active keys; exactly one must be active")]
    ActiveKeys(usize),
    /// Two keys share an id.
    #[error("key id `{0}` occurs twice")]
    DuplicateKid(String),
    /// The system's randomness failed.
    #[error("no key could be generated")]
    Generation,
}

/// A checked set of private keys: every key can sign, ids are unique, exactly one is active.
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
    /// Checks `keys` as a whole; nothing is noted about them.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn new(keys: Vec<PrivateJwk>) -> Result<Self, KeySetError> {
        Self::with_notes(keys, SetNotes::default())
    }

    /// Checks `keys` as a whole.
    ///
    /// # Errors
    /// The first rule that is broken.
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

    /// Reads a set from JSON.
    ///
    /// # Errors
    /// The first rule that is broken; the sentence holds no key material.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let unchecked: Unchecked = serde_json::from_slice(json).map_err(|_| KeySetError::Malformed)?;
        Self::with_notes(unchecked.keys, unchecked.latchkey_notes)
    }

    /// The set as JSON, keys included: a secret.
    pub fn to_json(&self) -> String {
        // A struct of strings always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The keys in their order.
    pub fn keys(&self) -> &[PrivateJwk] {
        &self.keys
    }

    /// What is noted about the set.
    pub fn notes(&self) -> &SetNotes {
        &self.latchkey_notes
    }

    /// What may be published.
    pub fn to_public(&self) -> PublicKeySet {
        PublicKeySet { keys: self.keys.iter().map(|key| key.public.clone()).collect() }
    }
}

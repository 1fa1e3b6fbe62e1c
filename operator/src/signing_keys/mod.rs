//! The signing keys: what a key set is, and what to do about the one that is there. Pure.
//!
//! A key set is JSON, `{"keys": [private JWK, …]}` (RFC 7517 §5), each key with `kid`, `alg`, `use` and
//! `latchkey_phase`.

mod generate;
mod rsa_private_key;

use std::collections::BTreeSet;

use latchkey_crds::auth_service::{Algorithm, KeyPhase, SigningKeyStatus};
use serde_json::Value;

pub use generate::{GenerateError, generate};

/// The phases and ids of the keys in a set, and the set as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySet {
    json: Vec<u8>,
    keys: Vec<KeyEntry>,
}

// The JSON holds private keys.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// What is public about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its id.
    pub kid: String,
    /// What it does.
    pub phase: KeyPhase,
}

/// Why a stored key set is of no use. No message repeats what the set holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON of the shape that RFC 7517 §5 gives.
    #[error("it is not a JSON object with a list of keys")]
    NotAKeySet,
    /// A key without one of the members that it needs.
    #[error("key number {number} lacks `{member}` or its value is not usable")]
    BadMember {
        /// Counted from 1.
        number: usize,
        /// The member's name.
        member: &'static str,
    },
    /// Not exactly one key signs.
    #[error("it has {0} active keys where there must be exactly one")]
    NotOneActive(usize),
    /// Two keys of the same id.
    #[error("two of its keys have the same id")]
    DuplicateKid,
}

impl KeySet {
    /// Reads a stored key set.
    ///
    /// # Errors
    /// When the server could not use it.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let document: Value = serde_json::from_slice(json).map_err(|_| KeySetError::NotAKeySet)?;
        let list = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::NotAKeySet)?;
        let keys = list
            .iter()
            .enumerate()
            .map(|(index, key)| parse_key(index + 1, key))
            .collect::<Result<Vec<_>, _>>()?;
        let active = keys.iter().filter(|key| key.phase == KeyPhase::Active).count();
        if active != 1 {
            return Err(KeySetError::NotOneActive(active));
        }
        let kids: BTreeSet<&str> = keys.iter().map(|key| key.kid.as_str()).collect();
        if kids.len() != keys.len() {
            return Err(KeySetError::DuplicateKid);
        }
        Ok(Self { json: json.to_vec(), keys })
    }

    /// The set as it is stored; it holds private keys.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// What is public about its keys.
    pub fn keys(&self) -> &[KeyEntry] {
        &self.keys
    }
}

fn parse_key(number: usize, key: &Value) -> Result<KeyEntry, KeySetError> {
    let member = |member: &'static str| {
        key.get(member)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or(KeySetError::BadMember { number, member })
    };
    let private: &[&'static str] = match member("kty")? {
        "EC" => &["crv", "x", "y", "d"],
        "OKP" => &["crv", "x", "d"],
        "RSA" => &["n", "e", "d", "p", "q", "dp", "dq", "qi"],
        _ => return Err(KeySetError::BadMember { number, member: "kty" }),
    };
    for name in private {
        member(name)?;
    }
    member("alg")?;
    let phase = match member("latchkey_phase")? {
        "published" => KeyPhase::Published,
        "active" => KeyPhase::Active,
        "retiring" => KeyPhase::Retiring,
        _ => return Err(KeySetError::BadMember { number, member: "latchkey_phase" }),
    };
    Ok(KeyEntry { kid: member("kid")?.to_owned(), phase })
}

/// The key set of an AuthService, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// It is in its Secret.
    Stored(KeySet),
    /// There never was one; this one was made just now and has to be written before anything uses it.
    Minted(KeySet),
    /// There was one, and it is gone or damaged. Nothing may be written over what is left.
    Lost(String),
}

impl KeyMaterial {
    /// The key set, unless it is lost.
    pub fn key_set(&self) -> Option<&KeySet> {
        match self {
            Self::Stored(keys) | Self::Minted(keys) => Some(keys),
            Self::Lost(_) => None,
        }
    }
}

/// Decides what the key set is. `stored` is what the Secret's key holds (`None`: no Secret), `remembered` the
/// keys that the status says were made, `fresh` makes a new set.
///
/// # Errors
/// When a new set was wanted and could not be made.
pub fn decide_key_material<E>(
    stored: Option<&[u8]>,
    remembered: &[SigningKeyStatus],
    fresh: impl FnOnce() -> Result<KeySet, E>,
) -> Result<KeyMaterial, E> {
    let lost = |what: &str| {
        let kids: Vec<&str> = remembered.iter().map(|key| key.kid.as_str()).collect();
        Ok(KeyMaterial::Lost(format!("{what} (keys made before: {})", kids.join(", "))))
    };
    match stored.map(KeySet::parse) {
        None if remembered.is_empty() => fresh().map(KeyMaterial::Minted),
        None => lost("the Secret is gone"),
        Some(Err(error)) => lost(&format!("the Secret is damaged: {error}")),
        // An older copy, or one of another service, would invalidate every token in silence.
        Some(Ok(set)) if !remembered.is_empty() && !shares_a_key(&set, remembered) => {
            lost("the Secret holds none of the keys that were made")
        }
        Some(Ok(set)) => Ok(KeyMaterial::Stored(set)),
    }
}

fn shares_a_key(set: &KeySet, remembered: &[SigningKeyStatus]) -> bool {
    set.keys.iter().any(|key| remembered.iter().any(|known| known.kid == key.kid))
}

/// The name of an algorithm in a JWK.
fn alg(algorithm: Algorithm) -> &'static str {
    algorithm.as_str()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn remembered(kid: &str) -> Vec<SigningKeyStatus> {
        vec![SigningKeyStatus {
            kid: kid.to_owned(),
            phase: KeyPhase::Active,
            since: Time(Timestamp::UNIX_EPOCH),
        }]
    }

    fn decide(stored: Option<&[u8]>, remembered: &[SigningKeyStatus]) -> KeyMaterial {
        decide_key_material(stored, remembered, || generate(Algorithm::EdDSA)).unwrap()
    }

    #[test]
    fn every_algorithm_makes_a_set_that_parses_with_one_active_key() {
        for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
            let set = generate(algorithm).unwrap();
            assert_eq!(KeySet::parse(set.json()).unwrap(), set, "{algorithm:?}");
            assert_eq!(set.keys().len(), 1);
            assert_eq!(set.keys()[0].phase, KeyPhase::Active);
        }
    }

    #[test]
    fn two_sets_share_nothing() {
        assert_ne!(generate(Algorithm::ES256).unwrap().keys(), generate(Algorithm::ES256).unwrap().keys());
    }

    #[test]
    fn keys_are_made_only_where_none_ever_were() {
        assert!(matches!(decide(None, &[]), KeyMaterial::Minted(_)));
        assert!(matches!(decide(None, &remembered("a")), KeyMaterial::Lost(_)));
    }

    #[test]
    fn a_damaged_set_is_lost_and_never_overwritten_even_when_nothing_is_remembered() {
        for damaged in [b"".as_slice(), b"{}", b"{\"keys\":[]}", b"{\"keys\":[{\"kty\":\"EC\"}]}", b"\xff"] {
            assert!(matches!(decide(Some(damaged), &[]), KeyMaterial::Lost(_)));
        }
    }

    #[test]
    fn a_strangers_set_is_not_taken_for_ours() {
        let set = generate(Algorithm::EdDSA).unwrap();
        assert!(matches!(decide(Some(set.json()), &remembered("a")), KeyMaterial::Lost(_)));
        let ours = remembered(&set.keys()[0].kid);
        assert_eq!(decide(Some(set.json()), &ours), KeyMaterial::Stored(set));
    }

    #[test]
    fn debug_output_and_messages_hold_no_private_key() {
        let set = generate(Algorithm::EdDSA).unwrap();
        let document: Value = serde_json::from_slice(set.json()).unwrap();
        let private = document["keys"][0]["d"].as_str().unwrap();
        assert!(!format!("{set:?}").contains(private));
    }
}

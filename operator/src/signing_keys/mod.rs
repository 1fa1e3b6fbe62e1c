//! The signing keys: what to do about the set that is there. Pure. What a key set is, `latchkey_keyset` knows,
//! which the server reads it with.

use latchkey_crds::auth_service::{Algorithm, KeyPhase, SigningKeyStatus};
use latchkey_keyset::{KeySetError, Phase, PrivateKeySet};

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

impl KeySet {
    /// Reads a stored key set.
    ///
    /// # Errors
    /// When the server could not use it.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set = PrivateKeySet::parse(json)?;
        let keys = set
            .keys()
            .iter()
            .map(|key| KeyEntry { kid: key.public.kid.clone(), phase: phase(key.latchkey_phase) })
            .collect();
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

fn phase(phase: Phase) -> KeyPhase {
    match phase {
        Phase::Published => KeyPhase::Published,
        Phase::Active => KeyPhase::Active,
        Phase::Retiring => KeyPhase::Retiring,
    }
}

/// A key set with one new key, which signs.
///
/// # Errors
/// When the cryptographic library cannot make a key.
pub fn generate(algorithm: Algorithm) -> Result<KeySet, KeySetError> {
    let algorithm = match algorithm {
        Algorithm::ES256 => latchkey_keyset::Algorithm::Es256,
        Algorithm::EdDSA => latchkey_keyset::Algorithm::EdDsa,
        Algorithm::RS256 => latchkey_keyset::Algorithm::Rs256,
    };
    let set = PrivateKeySet::new(vec![latchkey_keyset::generate(algorithm, Phase::Active)?])?;
    KeySet::parse(set.to_json().as_bytes())
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
        let document: serde_json::Value = serde_json::from_slice(set.json()).unwrap();
        let private = document["keys"][0]["d"].as_str().unwrap();
        assert!(!format!("{set:?}").contains(private));
    }
}

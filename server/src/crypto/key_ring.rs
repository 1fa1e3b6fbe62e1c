//! The signing keys, reloaded while the server runs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey, EncodingKey};
use latchkey_keyset::{Algorithm, KeySetError, Phase, PrivateJwk, PrivateKeySet, PublicKeySet};
use uuid::Uuid;

use super::sealing::{SealingKey, ServiceAccountToken};

/// How often the file is read. Its content is compared instead of its modification time, because the kubelet replaces a
/// mounted Secret by swapping symbolic links.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Why a key set was not loaded. The messages contain no key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    #[error("JWT_KEYS_FILE {path} cannot be read: {reason}")]
    Unreadable { path: String, reason: std::io::ErrorKind },
    #[error("JWT_KEYS_FILE {path} is refused: {reason}")]
    Refused { path: String, reason: KeySetError },
}

/// A key in the form that the status endpoint reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedKey {
    pub kid: String,
    pub algorithm: Algorithm,
    pub phase: Phase,
}

/// A verification key and the one algorithm it may be used with.
pub(super) struct VerificationKey {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) key: DecodingKey,
    pub(super) sealing: SealingKey,
}

pub(super) struct Keys {
    /// A number that identifies this set among those that the ring has loaded.
    pub(super) serial: u64,
    pub(super) active_kid: String,
    pub(super) active_algorithm: JwtAlgorithm,
    pub(super) signing: EncodingKey,
    pub(super) verification: HashMap<String, VerificationKey>,
    loaded: Vec<LoadedKey>,
    public: PublicKeySet,
    max_age: u32,
}

/// The current key set. If the file becomes unreadable or invalid, the last valid set stays in use.
pub struct KeyRing {
    path: PathBuf,
    current: ArcSwapOption<Keys>,
    next_serial: AtomicU64,
}

impl KeyRing {
    /// Creates a ring without keys; [`KeyRing::reload`] fills it.
    pub fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, current: ArcSwapOption::empty(), next_serial: AtomicU64::new(0) })
    }

    /// Creates a ring with this key set.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of(set: &[u8]) -> Result<Arc<Self>, KeyRingError> {
        let ring = Self::new(PathBuf::new());
        ring.install(set)?;
        Ok(ring)
    }

    /// Reads the file and replaces the current set.
    ///
    /// # Errors
    /// [`KeyRingError`]; the current set stays in use.
    pub fn reload(&self) -> Result<Vec<LoadedKey>, KeyRingError> {
        let text = self.read()?;
        self.install(&text)
    }

    /// Watches the file and never returns. Calls `report` once for each content that was loaded or refused.
    pub async fn watch(self: Arc<Self>, report: impl Fn(Result<Vec<LoadedKey>, KeyRingError>) + Send) {
        let mut seen = None;
        let mut ticks = tokio::time::interval(RELOAD_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let read = self.read();
            let fingerprint = match &read {
                Ok(text) => digest::digest(&digest::SHA256, text).as_ref().to_vec(),
                Err(error) => error.to_string().into_bytes(),
            };
            if seen.as_ref() != Some(&fingerprint) {
                seen = Some(fingerprint);
                report(read.and_then(|text| self.install(&text)));
            }
        }
    }

    /// The keys of the current set; empty before the first set is loaded.
    pub fn loaded(&self) -> Vec<LoadedKey> {
        self.current.load().as_ref().map(|keys| keys.loaded.clone()).unwrap_or_default()
    }

    /// The content of `/.well-known/jwks.json`, and for how many seconds verifiers may cache it; `None` before the
    /// first set is loaded.
    pub fn public(&self) -> Option<(PublicKeySet, u32)> {
        self.current.load().as_ref().map(|keys| (keys.public.clone(), keys.max_age))
    }

    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        self.current.load_full()
    }

    fn read(&self) -> Result<Vec<u8>, KeyRingError> {
        std::fs::read(&self.path).map_err(|error| KeyRingError::Unreadable {
            path: self.path.display().to_string(),
            reason: error.kind(),
        })
    }

    fn install(&self, text: &[u8]) -> Result<Vec<LoadedKey>, KeyRingError> {
        let keys = PrivateKeySet::parse(text)
            .and_then(|set| Keys::build(&set, self.next_serial.fetch_add(1, Ordering::Relaxed)))
            .map_err(|reason| KeyRingError::Refused { path: self.path.display().to_string(), reason })?;
        let loaded = keys.loaded.clone();
        self.current.store(Some(Arc::new(keys)));
        Ok(loaded)
    }
}

impl Keys {
    /// Encrypts a token inside the access token with these ids, which the active key signs.
    pub(super) fn seal(&self, token: &ServiceAccountToken, ids: [Uuid; 2]) -> Option<String> {
        self.verification.get(&self.active_kid)?.sealing.seal(token, ids)
    }

    fn build(set: &PrivateKeySet, serial: u64) -> Result<Self, KeySetError> {
        let mut verification = HashMap::new();
        let mut active = None;
        for key in set.keys() {
            let kid = key.public.kid.clone();
            if key.latchkey_phase == Phase::Active {
                active = Some((kid.clone(), jwt_algorithm(key.public.alg), encoding_key(key)?));
            }
            let algorithm = jwt_algorithm(key.public.alg);
            let sealing = sealing_key(key)?;
            verification.insert(kid, VerificationKey { algorithm, key: decoding_key(key)?, sealing });
        }
        let (active_kid, active_algorithm, signing) = active.ok_or(KeySetError::ActiveKeys(0))?;
        let loaded = set
            .keys()
            .iter()
            .map(|key| LoadedKey {
                kid: key.public.kid.clone(),
                algorithm: key.public.alg,
                phase: key.latchkey_phase,
            })
            .collect();
        Ok(Self {
            serial,
            active_kid,
            active_algorithm,
            signing,
            verification,
            loaded,
            public: set.to_public(),
            max_age: set.notes().max_age(),
        })
    }
}

fn jwt_algorithm(algorithm: Algorithm) -> JwtAlgorithm {
    match algorithm {
        Algorithm::Es256 => JwtAlgorithm::ES256,
        Algorithm::EdDsa => JwtAlgorithm::EdDSA,
        Algorithm::Rs256 => JwtAlgorithm::RS256,
    }
}

fn encoding_key(key: &PrivateJwk) -> Result<EncodingKey, KeySetError> {
    let der = key.to_der()?;
    Ok(match key.public.alg {
        Algorithm::Es256 => EncodingKey::from_ec_der(&der),
        Algorithm::EdDsa => EncodingKey::from_ed_der(&der),
        Algorithm::Rs256 => EncodingKey::from_rsa_der(&der),
    })
}

fn sealing_key(key: &PrivateJwk) -> Result<SealingKey, KeySetError> {
    SealingKey::derive(&key.to_der()?).ok_or_else(|| KeySetError::Key {
        kid: key.public.kid.clone(),
        reason: "cannot be used to derive a key".to_owned(),
    })
}

fn decoding_key(key: &PrivateJwk) -> Result<DecodingKey, KeySetError> {
    let public = &key.public;
    let built = match public.alg {
        Algorithm::Es256 => {
            public.ec_components().and_then(|(x, y)| DecodingKey::from_ec_components(x, y).ok())
        }
        Algorithm::EdDsa => public.ed_component().and_then(|x| DecodingKey::from_ed_components(x).ok()),
        Algorithm::Rs256 => {
            public.rsa_components().and_then(|(n, e)| DecodingKey::from_rsa_components(n, e).ok())
        }
    };
    built.ok_or_else(|| KeySetError::Key {
        kid: public.kid.clone(),
        reason: "has an unusable public key".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &[u8]) -> Result<Keys, KeySetError> {
        PrivateKeySet::parse(text).and_then(|set| Keys::build(&set, 0))
    }

    /// One key of each elliptic-curve algorithm; generating RSA keys takes too long.
    fn good_set() -> Value {
        let key = |algorithm, phase| latchkey_keyset::generate(algorithm, phase).unwrap();
        let keys = vec![key(Algorithm::Es256, Phase::Active), key(Algorithm::EdDsa, Phase::Retiring)];
        serde_json::from_str(&PrivateKeySet::new(keys).unwrap().to_json()).unwrap()
    }

    fn any_member() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            "[A-Za-z0-9_-]{0,90}".prop_map(Value::from),
            prop::sample::select(vec!["ES256", "EdDSA", "RS256", "RSA", "EC", "OKP", "P-256", "active", ""])
                .prop_map(Value::from),
            Just(json!(["sign"])),
        ]
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes).is_err());
        }

        #[test]
        fn errors_about_a_changed_set_contain_no_secret(
            changes in prop::collection::vec(
                (0..2_usize, prop::sample::select(vec!["kid", "alg", "kty", "crv", "x", "y", "d", "n", "e", "p",
                    "latchkey_phase", "use"]), any_member()),
                1..4,
            ),
        ) {
            let mut set = good_set();
            let secrets: Vec<String> =
                (0..2).map(|at| set["keys"][at]["d"].as_str().unwrap_or_default().to_owned()).collect();
            for (at, name, value) in changes {
                set["keys"][at][name] = value;
            }
            if let Err(error) = read(set.to_string().as_bytes()) {
                let sentence = error.to_string();
                prop_assert!(secrets.iter().all(|secret| !sentence.contains(secret)), "{}", sentence);
            }
        }

        #[test]
        fn a_set_with_a_changed_byte_does_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut text = good_set().to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            let _ = read(&text);
        }
    }
}

//! The public keys of the issuer, fetched again from time to time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;

use crate::error::FetchError;

/// The shortest time between two fetches: tokens with unknown key ids must not cause one each.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);
/// The time to the next attempt after a failure.
const RETRY: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A key, and the only algorithm with which it may be used (RFC 8725 §3.1).
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

/// A JWK Set, by key id.
pub(crate) struct KeySet(HashMap<String, Key>);

impl KeySet {
    /// Reads a JWK Set. Keys of another use, without an id or of an unknown algorithm are left out; `None` if none is left.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        let set: JwkSet = serde_json::from_slice(json).ok()?;
        let keys: HashMap<_, _> = set.keys.iter().filter_map(read_key).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&Key> {
        self.0.get(kid)
    }
}

fn read_key(jwk: &Jwk) -> Option<(String, Key)> {
    let algorithm = match jwk.common.key_algorithm? {
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        KeyAlgorithm::RS256 => Algorithm::RS256,
        // The server has no others. Above all, a public key is no secret of an HMAC.
        _ => return None,
    };
    let key = DecodingKey::from_jwk(jwk).ok().filter(|key| key.family() == algorithm.family())?;
    Some((jwk.common.key_id.clone()?, Key { algorithm, key }))
}

/// Where the keys are.
pub(crate) enum Source {
    /// `/.well-known/jwks.json` of the server.
    Url(String),
    /// The file `jwks.json` of the mounted ConfigMap.
    File(PathBuf),
}

/// When the keys are fetched, and how long they are used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) interval: Duration,
    pub(crate) max_age: Duration,
}

struct Fetched {
    set: Arc<KeySet>,
    at: Instant,
}

/// The keys as they were fetched last.
pub(crate) struct Keys {
    source: Source,
    http: reqwest::Client,
    times: Times,
    current: RwLock<Option<Fetched>>,
    /// When the last fetch began. Held during a fetch, so that one serves all that wait.
    last_attempt: Mutex<Option<Instant>>,
}

impl Keys {
    pub(crate) fn new(source: Source, http: reqwest::Client, times: Times) -> Arc<Self> {
        let (current, last_attempt) = (RwLock::default(), Mutex::default());
        Arc::new(Self { source, http, times, current, last_attempt })
    }

    /// The keys, unless they are too old.
    pub(crate) fn current(&self) -> Option<Arc<KeySet>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let fetched = current.as_ref().filter(|fetched| fetched.at.elapsed() <= self.times.max_age)?;
        Some(Arc::clone(&fetched.set))
    }

    /// The keys, fetched again if the id is not among them and the last fetch was long enough ago.
    pub(crate) async fn with(&self, kid: &str) -> Option<Arc<KeySet>> {
        let current = self.current();
        if current.as_ref().is_some_and(|set| set.find(kid).is_some()) {
            return current;
        }
        self.fetch_unless_recent().await;
        self.current()
    }

    /// Fetches the keys from time to time. Never returns.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        loop {
            let pause = if self.fetch_unless_recent().await { self.times.interval } else { RETRY };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether the last fetch succeeded.
    async fn fetch_unless_recent(&self) -> bool {
        let mut last = self.last_attempt.lock().await;
        let begun_at = Instant::now();
        if last.is_some_and(|last| begun_at - last < SHORTEST_PAUSE) {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            return current.as_ref().is_some_and(|fetched| Some(fetched.at) >= *last);
        }
        *last = Some(begun_at);
        match self.fetch().await {
            Ok(set) => {
                let fetched = Fetched { set: Arc::new(set), at: begun_at };
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the public keys could not be fetched");
                false
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let json = match &self.source {
            Source::Url(url) => {
                let response = self.http.get(url).timeout(TIMEOUT).send().await?;
                if !response.status().is_success() {
                    return Err(FetchError::Status(response.status()));
                }
                response.bytes().await?.to_vec()
            }
            Source::File(path) => tokio::fs::read(path).await?,
        };
        KeySet::parse(&json).ok_or(FetchError::Invalid("it contains no usable public key"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(keys: &[Value]) -> Option<KeySet> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn a_key_is_used_with_its_own_algorithm_and_a_secret_never() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let good = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1", "alg": "EdDSA", "use": "sig"});
        let with = |name: &str, value: Value| {
            let mut key = good.clone();
            key[name] = value;
            key
        };
        let parsed = set(std::slice::from_ref(&good)).unwrap();
        assert_eq!(parsed.find("k1").unwrap().algorithm, Algorithm::EdDSA);
        assert!(parsed.find("k2").is_none());
        let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256"});
        let confused = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "ES256"});
        for unusable in [
            secret,
            confused,
            with("alg", json!("ES256")),
            with("kid", Value::Null),
            with("alg", Value::Null),
        ] {
            assert!(set(std::slice::from_ref(&unusable)).is_none(), "{unusable}");
        }
        assert!(KeySet::parse(b"{}").is_none() && set(&[]).is_none());
    }
}

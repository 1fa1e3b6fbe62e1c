//! The signing keys: what to do about the set that is there. Pure. What a key set is, `latchkey_keyset` knows,
//! which the server reads it with.

mod deadlines;
mod ledger;
mod observed;
mod rotation;
mod rotation_status;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use latchkey_crds::auth_service::{
    self as api, KeyPhase, SigningKeyStatus, Tokens, parse_seconds, parse_ttl,
};
use latchkey_keyset::{Algorithm, KeyNotes, KeySetError, Phase, PrivateJwk, PrivateKeySet, SetNotes};

pub use ledger::{Entry, Ledger};
pub use observed::{Plan, Replica, ReplicaReport, Request, Requests};
pub use rotation::{Decision, decide_next};
pub use rotation_status::{Progress, RotationStatus};

/// A set of keys, and the text in which it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySet {
    json: Vec<u8>,
    set: PrivateKeySet,
    ledger: Ledger,
}

// The JSON holds private keys.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// Makes a key.
pub type Generate = fn(Algorithm, Phase) -> Result<PrivateJwk, KeySetError>;

impl KeySet {
    /// Reads a stored key set.
    ///
    /// # Errors
    /// When the server could not use it.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set = PrivateKeySet::parse(json)?;
        Ok(Self { json: json.to_vec(), ledger: Ledger::of(&set), set })
    }

    /// A first set: one key, which signs. What is asked for by then counts as carried out.
    ///
    /// # Errors
    /// When the cryptographic library cannot make a key.
    pub fn first(
        plan: &Plan,
        requests: &Requests,
        superseded: Vec<String>,
        now: i64,
        generate: Generate,
    ) -> Result<Self, KeySetError> {
        let mut key = generate(plan.algorithm, Phase::Active)?;
        key.latchkey_notes =
            KeyNotes { since: Some(now), longest_lifetime: Some(plan.lifetime), ..KeyNotes::default() };
        let notes = SetNotes {
            max_age: Some(plan.max_age),
            longest_max_age: Some(plan.max_age),
            handled: requests.all_handled(&SetNotes::default().handled),
            superseded,
        };
        Self::from_set(&PrivateKeySet::with_notes(vec![key], notes)?)
    }

    fn from_set(set: &PrivateKeySet) -> Result<Self, KeySetError> {
        Self::parse(set.to_json().as_bytes())
    }

    /// The set as it is stored; it holds private keys.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// What is known about its keys.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ids of its keys with their phases and how long verifiers may keep them: what a replica has to load anew
    /// when it changes.
    pub fn in_force(&self) -> impl Iterator<Item = (&str, Phase)> {
        self.ledger.entries.iter().map(|entry| (entry.kid.as_str(), entry.phase))
    }

    /// The set and what the next step of each key waits for, after all steps that are due.
    ///
    /// # Errors
    /// When a key was wanted and could not be made.
    pub fn next(
        self,
        now: i64,
        plan: &Plan,
        requests: &Requests,
        replicas: &[Replica],
        generate: Generate,
    ) -> Result<(Self, RotationStatus, Option<Duration>), KeySetError> {
        let mut made: HashMap<String, PrivateJwk> = HashMap::new();
        let mut fresh = |algorithm| {
            let key = generate(algorithm, Phase::Published)?;
            let kid = key.public.kid.clone();
            made.insert(kid.clone(), key);
            Ok(kid)
        };
        let Decision { ledger, status, due } =
            decide_next(&self.ledger, now, plan, requests, replicas, &mut fresh)?;
        if ledger == self.ledger {
            return Ok((self, status, due));
        }
        let mut keys: HashMap<String, PrivateJwk> =
            self.set.keys().iter().map(|key| (key.public.kid.clone(), key.clone())).chain(made).collect();
        let mut kept = Vec::new();
        for Entry { kid, phase, notes, .. } in &ledger.entries {
            let mut key = keys.remove(kid).ok_or(KeySetError::Generation)?;
            (key.latchkey_phase, key.latchkey_notes) = (*phase, notes.clone());
            kept.push(key);
        }
        Ok((Self::from_set(&PrivateKeySet::with_notes(kept, ledger.notes)?)?, status, due))
    }
}

/// The phase as the status spells it.
pub fn phase(phase: Phase) -> KeyPhase {
    match phase {
        Phase::Published => KeyPhase::Published,
        Phase::Active => KeyPhase::Active,
        Phase::Retiring => KeyPhase::Retiring,
    }
}

/// What the spec wants of the keys; `None` when a duration in it cannot be read, which is said elsewhere.
pub fn plan(tokens: &Tokens) -> Option<Plan> {
    let lifetimes = [&tokens.access_token_ttl, &tokens.refresh_token_ttl];
    let [access, refresh] = lifetimes.map(|text| parse_ttl(text).ok());
    Some(Plan {
        algorithm: match tokens.algorithm {
            api::Algorithm::ES256 => Algorithm::Es256,
            api::Algorithm::EdDSA => Algorithm::EdDsa,
            api::Algorithm::RS256 => Algorithm::Rs256,
        },
        interval: i64::from(parse_ttl(&tokens.key_rotation.interval).ok()?) * 60,
        lifetime: i64::from(access?.max(refresh?)) * 60,
        max_age: u32::try_from(parse_seconds(&tokens.key_rotation.jwks_cache_time).ok()?).ok()?,
    })
}

/// The key set of an AuthService, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// It is in its Secret, or is the next version of what is there.
    Stored(KeySet),
    /// There is no Secret; this set was made just now and has to be written before anything uses it.
    Generated(KeySet),
    /// There was one, and it is gone or damaged. Nothing may be written over what is left.
    Lost(String),
}

impl KeyMaterial {
    /// The key set, unless it is lost.
    pub fn key_set(&self) -> Option<&KeySet> {
        match self {
            Self::Stored(keys) | Self::Generated(keys) => Some(keys),
            Self::Lost(_) => None,
        }
    }
}

/// What is known of earlier key sets.
#[derive(Debug, Clone, Copy)]
pub struct Remembered<'a> {
    /// The keys that the status says were made.
    pub keys: &'a [SigningKeyStatus],
    /// Whether there is a Deployment, which is made after the keys.
    pub in_use: bool,
}

/// Decides what the key set is. `stored` is what the Secret's key holds (`None`: no Secret); `fresh` makes a first
/// set that supersedes keys with these ids.
///
/// # Errors
/// When a new set was wanted and could not be made.
pub fn decide_key_material<E>(
    stored: Option<&[u8]>,
    remembered: Remembered<'_>,
    requests: &Requests,
    fresh: impl FnOnce(Vec<String>) -> Result<KeySet, E>,
) -> Result<KeyMaterial, E> {
    let what = match stored.map(KeySet::parse) {
        None if remembered.keys.is_empty() && !remembered.in_use => {
            return fresh(Vec::new()).map(KeyMaterial::Generated);
        }
        None => "the Secret is gone".to_owned(),
        Some(Err(error)) => {
            format!("the Secret is damaged, or a later release of the operator wrote it: {error}")
        }
        // An older copy, or one of another service, would invalidate every token in silence.
        Some(Ok(set)) if !remembered.keys.is_empty() && !descends_from(&set, remembered.keys) => {
            "the Secret holds none of the keys that were made".to_owned()
        }
        Some(Ok(set)) => return Ok(KeyMaterial::Stored(set)),
    };
    let kids: Vec<String> = remembered.keys.iter().map(|key| key.kid.clone()).collect();
    // A value that is older than the loss was carried out then: the status has it, which outlives the Secret.
    if requests.is_new(Request::ReplaceLost, &requests.handled) {
        let set = fresh(kids)?;
        return Ok(if stored.is_some() { KeyMaterial::Stored(set) } else { KeyMaterial::Generated(set) });
    }
    Ok(KeyMaterial::Lost(format!("{what} (keys made before: {})", kids.join(", "))))
}

/// Whether the set, or one that it came from by steps that the status has not seen, holds a key that was made.
fn descends_from(set: &KeySet, remembered: &[SigningKeyStatus]) -> bool {
    let kids = set.ledger.entries.iter().map(|entry| &entry.kid);
    kids.chain(&set.ledger.notes.superseded).any(|kid| remembered.iter().any(|known| known.kid == *kid))
}

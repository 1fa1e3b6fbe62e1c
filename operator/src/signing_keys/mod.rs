//! The signing keys: decides the next version of a key set. Pure. `latchkey_keyset` defines the format, which the
//! server reads as well.

mod deadlines;
mod ledger;
mod observed;
mod required_key;
mod rotation;
mod rotation_status;

#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use latchkey_crds::auth_service::{KeyPhase, SigningKeyStatus};
use latchkey_keyset::{Algorithm, KeyNotes, KeySetError, Phase, PrivateJwk, PrivateKeySet, SetNotes};

pub(crate) use ledger::{Entry, Ledger};
pub(crate) use observed::{Plan, Replica, ReplicaReport, Request, Requests};
pub(crate) use required_key::{RequiredKey, decide_required_key};
pub(crate) use rotation::{Decision, decide_next};
pub(crate) use rotation_status::{Progress, RotationStatus};

/// A set of keys, and its stored form.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeySet {
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

pub(crate) type Generate = fn(Algorithm, Phase) -> Result<PrivateJwk, KeySetError>;

impl KeySet {
    /// Reads a stored key set.
    ///
    /// # Errors
    /// When the server could not use it.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set = PrivateKeySet::parse(json)?;
        Ok(Self { json: json.to_vec(), ledger: Ledger::of(&set), set })
    }

    /// The first set: one active key. Existing requests count as processed.
    ///
    /// # Errors
    /// When the cryptographic library cannot generate a key.
    pub(crate) fn first(
        plan: &Plan,
        requests: &Requests,
        superseded: Vec<String>,
        now: i64,
        generate: Generate,
    ) -> Result<Self, KeySetError> {
        let mut key = generate(plan.algorithm, Phase::Active)?;
        key.latchkey_notes =
            KeyNotes { since: Some(now), longest_lifetime: Some(plan.token_ttl), ..KeyNotes::default() };
        let notes = SetNotes {
            max_age: Some(plan.jwks_cache_time),
            longest_max_age: Some(plan.jwks_cache_time),
            handled: requests.all_handled(&SetNotes::default().handled),
            superseded,
        };
        Self::from_set(&PrivateKeySet::with_notes(vec![key], notes)?)
    }

    fn from_set(set: &PrivateKeySet) -> Result<Self, KeySetError> {
        Self::parse(set.to_json().as_bytes())
    }

    /// The stored form of the set; it contains private keys.
    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }

    /// The public keys as JSON, as the server publishes them: also of a key that does not sign yet.
    pub(crate) fn public_json(&self) -> String {
        // A struct of strings always serializes.
        serde_json::to_string(&self.set.to_public()).unwrap_or_default()
    }

    /// The state of its keys.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ids and phases of its keys and their `max-age`: if they change, replicas must reload the set.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = (&str, Phase)> {
        self.ledger.entries.iter().map(|entry| (entry.kid.as_str(), entry.phase))
    }

    /// The set after all steps that are due, with what the next step of each key waits for.
    ///
    /// # Errors
    /// When a key could not be generated.
    pub(crate) fn next(
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

/// The phase as in the status.
pub(crate) fn phase(phase: Phase) -> KeyPhase {
    match phase {
        Phase::Published => KeyPhase::Published,
        Phase::Active => KeyPhase::Active,
        Phase::Retiring => KeyPhase::Retiring,
    }
}

/// The key set of an AuthService.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyMaterial {
    /// It is stored in its Secret, or is the next version of the stored one.
    Stored(KeySet),
    /// There is no Secret; this set was generated just now and must be written before it is used.
    Generated(KeySet),
    /// It existed, and is lost or damaged. The rest must not be overwritten.
    Lost(String),
}

impl KeyMaterial {
    /// The key set, unless it is lost.
    pub(crate) fn key_set(&self) -> Option<&KeySet> {
        match self {
            Self::Stored(keys) | Self::Generated(keys) => Some(keys),
            Self::Lost(_) => None,
        }
    }
}

/// The record of earlier key sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remembered<'a> {
    pub keys: &'a [SigningKeyStatus],
    /// Whether the Deployment exists, which is created after the keys.
    pub in_use: bool,
}

/// Decides the key set. `stored` is the value in the Secret (`None`: no Secret); `fresh` generates a first set that
/// replaces keys with these ids.
///
/// # Errors
/// When a new set could not be generated.
pub(crate) fn decide_key_material<E>(
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
        // An older copy, or the set of another service, would silently invalidate every token.
        Some(Ok(set)) if !remembered.keys.is_empty() && !descends_from(&set, remembered.keys) => {
            "the Secret holds none of the keys that were made".to_owned()
        }
        Some(Ok(set)) => return Ok(KeyMaterial::Stored(set)),
    };
    let kids: Vec<String> = remembered.keys.iter().map(|key| key.kid.clone()).collect();
    // A value from before the loss was already processed: the status, which outlives the Secret, contains it.
    if requests.is_new(Request::ReplaceLost, &requests.handled) {
        let set = fresh(kids)?;
        return Ok(if stored.is_some() { KeyMaterial::Stored(set) } else { KeyMaterial::Generated(set) });
    }
    Ok(KeyMaterial::Lost(format!("{what} (keys made before: {})", kids.join(", "))))
}

/// Whether the set, or one from which it was derived in steps that the status does not contain yet, holds a recorded
/// key.
fn descends_from(set: &KeySet, remembered: &[SigningKeyStatus]) -> bool {
    let kids = set.ledger.entries.iter().map(|entry| &entry.kid);
    kids.chain(&set.ledger.notes.superseded).any(|kid| remembered.iter().any(|known| known.kid == *kid))
}

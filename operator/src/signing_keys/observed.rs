//! What a decision rests on: what is wanted, what was asked for, what the replicas say.

use std::collections::BTreeMap;

use latchkey_keyset::{Algorithm, DEFAULT_MAX_AGE, Phase};

use super::ledger::Ledger;

/// What the spec wants of the keys. Durations are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The algorithm of the tokens.
    pub algorithm: Algorithm,
    /// How old the signing key gets.
    pub interval: i64,
    /// The longest lifetime of a token.
    pub lifetime: i64,
    /// How long verifiers may keep the public set.
    pub max_age: u32,
}

/// What can be asked for by an annotation; each value acts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// An ordinary rotation, now.
    Rotate,
    /// New keys at once; what the old ones signed ends.
    Revoke,
    /// New keys in place of ones that are lost.
    ReplaceLost,
}

impl Request {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rotate, Self::Revoke, Self::ReplaceLost];

    /// The annotation's name without its prefix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate-keys",
            Self::Revoke => "revoke-keys",
            Self::ReplaceLost => "replace-lost-keys",
        }
    }
}

/// The values of the annotations that are there, and which of them were carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    /// By [`Request::as_str`].
    pub asked: BTreeMap<String, String>,
    /// The same as the status remembers it; the set has its own memory.
    pub handled: BTreeMap<String, String>,
}

impl Requests {
    /// Whether this is asked for and neither the set nor the status says that it was carried out.
    pub fn is_new(&self, request: Request, known: &BTreeMap<String, String>) -> bool {
        let name = request.as_str();
        self.asked
            .get(name)
            .is_some_and(|value| known.get(name) != Some(value) && self.handled.get(name) != Some(value))
    }

    /// What was carried out, when everything that is asked for has been.
    pub fn all_handled(&self, known: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut handled = self.handled.clone();
        handled.extend(known.iter().chain(&self.asked).map(|(name, value)| (name.clone(), value.clone())));
        handled
    }
}

/// What one replica says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaReport {
    /// The keys it has loaded, with their phases where it tells them.
    pub keys: BTreeMap<String, Option<Phase>>,
    /// Its clock, in seconds since the epoch.
    pub time: Option<i64>,
    /// How long it lets verifiers keep the public set, in seconds.
    pub max_age: Option<u32>,
    /// The longest lifetime of the tokens it signs, in seconds.
    pub lifetime: Option<i64>,
}

/// A replica that may be serving or signing: one that is ready, one that answers, one that is on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its pod.
    pub pod: String,
    /// What it says; `None` when it does not answer or must not be counted on any more.
    pub report: Option<ReplicaReport>,
}

/// What all replicas say together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replicas<'a>(pub(super) &'a [Replica]);

impl<'a> Replicas<'a> {
    /// Whether there is one, and each says something for which `holds` does.
    pub(super) fn all(self, holds: impl Fn(&ReplicaReport) -> bool) -> bool {
        !self.0.is_empty() && self.laggard(holds).is_none()
    }

    /// The first that does not say something for which `holds` does.
    pub(super) fn laggard(self, holds: impl Fn(&ReplicaReport) -> bool) -> Option<&'a Replica> {
        self.0.iter().find(|replica| !replica.report.as_ref().is_some_and(&holds))
    }
}

/// The clocks of the operator and of every replica: the slowest and the fastest, in seconds since the epoch. Tokens
/// expire by the replicas' clocks, so that the operator's alone must not make a key go early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) earliest: i64,
    pub(super) latest: i64,
    /// Whether a replica has told its clock.
    pub(super) told: bool,
}

impl Clock {
    pub(super) fn new(now: i64, replicas: Replicas<'_>) -> Self {
        let times = || replicas.0.iter().filter_map(|replica| replica.report.as_ref()?.time);
        // The next full second: rounding must not shorten a wait.
        let (earliest, latest) = (times().min().unwrap_or(now), times().max().unwrap_or(now));
        Self { earliest: earliest.min(now), latest: latest.max(now) + 1, told: times().next().is_some() }
    }
}

/// The longest `max-age` that counts, in seconds: of the set, of the spec, of what replicas say they tell.
pub(super) fn longest_max_age(ledger: &Ledger, replicas: Replicas<'_>) -> i64 {
    let noted = ledger.notes.longest_max_age.unwrap_or(DEFAULT_MAX_AGE).max(ledger.notes.max_age());
    let told = replicas.0.iter().filter_map(|replica| replica.report.as_ref());
    i64::from(told.map(|report| report.max_age.unwrap_or(DEFAULT_MAX_AGE)).max().unwrap_or(0).max(noted))
}

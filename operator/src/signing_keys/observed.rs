//! The inputs of a decision: the plan of the spec, the requests, and the reports of the replicas.

use std::collections::BTreeMap;

use latchkey_keyset::{Algorithm, DEFAULT_MAX_AGE, Phase};

use super::ledger::Ledger;

/// The plan of the spec. Durations are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub algorithm: Algorithm,
    /// The age at which the signing key is rotated.
    pub interval: i64,
    /// The longer of the two token lifetimes.
    pub token_ttl: i64,
    /// The `max-age` of the public key set.
    pub jwks_cache_time: u32,
}

/// The requests that can be made with an annotation; each value is processed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Request {
    /// A normal rotation, now.
    Rotate,
    /// New keys immediately; tokens signed by the old ones become invalid.
    Revoke,
    /// New keys instead of lost ones.
    ReplaceLost,
}

impl Request {
    pub(crate) const ALL: [Self; 3] = [Self::Rotate, Self::Revoke, Self::ReplaceLost];

    /// The annotation's name without its prefix.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate-keys",
            Self::Revoke => "revoke-keys",
            Self::ReplaceLost => "replace-lost-keys",
        }
    }
}

/// The values of the existing annotations, and those that were processed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    /// By [`Request::as_str`].
    pub requested: BTreeMap<String, String>,
    /// The same from the status; the set has its own record.
    pub handled: BTreeMap<String, String>,
}

impl Requests {
    /// Whether this is requested and not yet processed according to the set and the status.
    pub(crate) fn is_new(&self, request: Request, known: &BTreeMap<String, String>) -> bool {
        let name = request.as_str();
        self.requested
            .get(name)
            .is_some_and(|value| known.get(name) != Some(value) && self.handled.get(name) != Some(value))
    }

    /// The record after all requests have been processed.
    pub(crate) fn all_handled(&self, known: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut handled = self.handled.clone();
        handled
            .extend(known.iter().chain(&self.requested).map(|(name, value)| (name.clone(), value.clone())));
        handled
    }
}

/// The report of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplicaReport {
    /// The keys that it has loaded, with their phases if it reports them.
    pub keys: BTreeMap<String, Option<Phase>>,
    /// Its clock, in seconds since the epoch.
    pub time: Option<i64>,
    /// The `max-age` of its public key set, in seconds.
    pub jwks_cache_time: Option<u32>,
    /// The longest lifetime of its tokens, in seconds.
    pub token_ttl: Option<i64>,
    /// Whether it may sign with keys that are not listed: only the loading of a key is proved.
    pub may_sign_with_others: bool,
}

/// A replica that may be serving or signing: it is ready, reports its status, or is terminating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    /// Its pod.
    pub pod: String,
    /// Its report; `None` if it does not respond or is terminating.
    pub report: Option<ReplicaReport>,
}

/// All replicas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replicas<'a>(pub(super) &'a [Replica]);

impl<'a> Replicas<'a> {
    /// Whether there is a replica, and each has a report for which `holds` is true.
    pub(super) fn all(self, holds: impl Fn(&ReplicaReport) -> bool) -> bool {
        !self.0.is_empty() && self.laggard(holds).is_none()
    }

    /// The first replica without a report for which `holds` is true.
    pub(super) fn laggard(self, holds: impl Fn(&ReplicaReport) -> bool) -> Option<&'a Replica> {
        self.0.iter().find(|replica| !replica.report.as_ref().is_some_and(&holds))
    }
}

/// The slowest and the fastest clock of the operator and all replicas, in seconds since the epoch. Tokens expire by
/// the replicas' clocks, so that the operator's clock alone must not remove a key early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) earliest: i64,
    pub(super) latest: i64,
    /// Whether a replica has reported its clock.
    pub(super) reported: bool,
}

impl Clock {
    pub(super) fn new(now: i64, replicas: Replicas<'_>) -> Self {
        let times = || replicas.0.iter().filter_map(|replica| replica.report.as_ref()?.time);
        // Rounded up to the next second: rounding must not shorten a wait.
        let (earliest, latest) = (times().min().unwrap_or(now), times().max().unwrap_or(now));
        Self { earliest: earliest.min(now), latest: latest.max(now) + 1, reported: times().next().is_some() }
    }
}

/// The longest relevant `max-age`, in seconds: of the set, of the spec, and of the reports.
pub(super) fn longest_cache_time(ledger: &Ledger, replicas: Replicas<'_>) -> i64 {
    let noted = ledger.notes.longest_max_age.unwrap_or(DEFAULT_MAX_AGE).max(ledger.notes.max_age());
    let reported = replicas.0.iter().filter_map(|replica| replica.report.as_ref());
    i64::from(
        reported
            .map(|report| report.jwks_cache_time.unwrap_or(DEFAULT_MAX_AGE))
            .max()
            .unwrap_or(0)
            .max(noted),
    )
}

//! When a key may take its next step: sign, or leave the set. Pure.

use latchkey_keyset::Phase;

use super::ledger::{Entry, Ledger};
use super::observed::{ReplicaReport, Replicas, longest_max_age};

/// What is added to the verifiers' cache time: they count whole seconds. In seconds.
pub(super) const CACHE_SLACK: i64 = 2;
/// What is added to the life of a key's last token: clocks differ, and verifiers allow for that. In seconds.
pub(super) const EXPIRY_SLACK: i64 = 600;
/// The most keys that a set may hold: the Secret and every verifier have to bear them.
pub(super) const MOST_KEYS: usize = 250;

/// When a published key may sign, once every replica has it.
pub(super) fn active_from(published: &Entry, next: &Ledger, replicas: Replicas<'_>) -> Option<i64> {
    Some(published.notes.loaded_since? + longest_max_age(next, replicas) + CACHE_SLACK)
}

/// Whether a replica says that it signs with this key no more. One that does not tell phases might.
pub(super) fn has_stopped(report: &ReplicaReport, kid: &str) -> bool {
    report.keys.get(kid).is_none_or(|phase| phase.is_some_and(|phase| phase != Phase::Active))
}

/// When the last token that a retiring key signed has expired, for certain.
pub(super) fn expires_at(entry: &Entry) -> Option<i64> {
    let signed_until = entry.notes.signed_until.filter(|_| entry.phase == Phase::Retiring)?;
    Some(signed_until + entry.notes.longest_lifetime? + EXPIRY_SLACK)
}

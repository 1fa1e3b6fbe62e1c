//! When a key may take its next step: become active, or leave the set. Pure.

use latchkey_keyset::Phase;

use super::ledger::{Entry, Ledger};
use super::observed::{ReplicaReport, Replicas, longest_cache_time};

/// Added to the cache time of verifiers, which use whole seconds. In seconds.
pub(super) const CACHE_SLACK: i64 = 2;
/// Added to the expiry of a key's last token, because clocks differ and verifiers tolerate that. In seconds.
pub(super) const EXPIRY_SLACK: i64 = 600;
/// The maximum number of keys in a set: the Secret and every verifier must be able to hold them.
pub(super) const MOST_KEYS: usize = 250;

/// When a published key may become active; `None` until every replica has loaded it.
pub(super) fn active_from(published: &Entry, next: &Ledger, replicas: Replicas<'_>) -> Option<i64> {
    Some(published.notes.loaded_since? + longest_cache_time(next, replicas) + CACHE_SLACK)
}

/// Whether a replica reports that it does not sign with this key any more. Without reported phases it might still do.
pub(super) fn has_stopped(report: &ReplicaReport, kid: &str) -> bool {
    let is_listed = report.keys.contains_key(kid);
    (is_listed || !report.may_sign_with_others)
        && report.keys.get(kid).is_none_or(|phase| phase.is_some_and(|phase| phase != Phase::Active))
}

/// When the last token signed by a retiring key has certainly expired.
pub(super) fn expires_at(entry: &Entry) -> Option<i64> {
    let signed_until = entry.notes.signed_until.filter(|_| entry.phase == Phase::Retiring)?;
    Some(signed_until + entry.notes.longest_lifetime? + EXPIRY_SLACK)
}

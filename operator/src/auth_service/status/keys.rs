//! What is said about the signing keys. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use latchkey_crds::auth_service::{AuthServiceStatus, SigningKeyStatus};
use latchkey_crds::conditions as types;
use latchkey_keyset::Phase;

use super::facts::{ConditionStatus, Facts, Stated, keys_lost, reports, state};
use crate::auth_service::apply::Applied;
use crate::auth_service::validate::Validated;
use crate::signing_keys::{KeyMaterial, KeySet, Progress, phase};

/// The reason while a rotation is under way.
pub(super) const ROTATING: &str = "Rotating";

/// The keys that exist and the requests that were carried out. While keys are lost, what was known of them stays: it
/// is the proof that they existed. The same while a set could not be written.
pub(super) fn signing_keys(
    before: &AuthServiceStatus,
    service: &Validated,
    applied: &Applied,
    now: Timestamp,
) -> (Vec<SigningKeyStatus>, BTreeMap<String, String>) {
    let refused = !applied.refused.is_empty();
    let name_conflicts = applied.name_conflicts.iter().any(|(_, name)| *name == service.names.jwt_keys());
    // While reconciling is paused what was decided is not written.
    let paused = service.spec.paused
        && (service.rotation.changed || matches!(service.keys, KeyMaterial::Generated(_)));
    let unwritten =
        name_conflicts || paused || (refused && (before.signing_keys.is_empty() || service.rotation.changed));
    let Some(keys) = service.keys.key_set().filter(|_| !unwritten) else {
        return (before.signing_keys.clone(), before.key_requests.clone());
    };
    let mut handled = before.key_requests.clone();
    handled.extend(keys.ledger().notes.handled.clone());
    let said = keys.ledger().entries.iter().map(|key| SigningKeyStatus {
        kid: key.kid.clone(),
        phase: phase(key.phase),
        since: Time(key.notes.since.and_then(|since| Timestamp::from_second(since).ok()).unwrap_or(now)),
        waits_for: service.rotation.status.waits_for.get(&key.kid).cloned(),
    });
    (said.collect(), handled)
}

pub(super) fn decide_keys(facts: &Facts<'_>) -> Stated {
    let say = |status, reason, message: String| state(types::KEYS_READY, status, reason, message);
    let secret = facts.service.names.jwt_keys();
    let keys = match &facts.service.keys {
        KeyMaterial::Lost(what) => {
            return say(ConditionStatus::False, "KeyMaterialLost", keys_lost(facts, what));
        }
        KeyMaterial::Generated(_) if facts.service.spec.paused => {
            let message = "There are no keys yet, and reconciling is paused.".to_owned();
            return say(ConditionStatus::False, "Blocked", message);
        }
        KeyMaterial::Stored(keys) | KeyMaterial::Generated(keys) => keys,
    };
    if facts.name_conflicts.iter().any(|(_, name)| *name == secret) {
        let message = format!("the Secret {secret} belongs to somebody else: Ready says what to do.");
        return say(ConditionStatus::False, "Blocked", message);
    }
    if let Some((pod, kid)) = missing(facts, keys) {
        let message = format!("Pod {pod} has not loaded key {kid} yet: if that lasts, read its log.");
        return say(ConditionStatus::False, "NotLoaded", message);
    }
    match &facts.service.rotation.status.progress {
        Progress::ReplicaLags(why) => say(
            ConditionStatus::False,
            "ReplicaLags",
            format!("A rotation is held up, {why}: read that pod's log, or delete the pod."),
        ),
        Progress::Rotating(why) => {
            say(ConditionStatus::True, ROTATING, format!("A rotation is under way, {why}."))
        }
        Progress::Steady if reports(facts).is_empty() => say(
            ConditionStatus::True,
            "Stored",
            format!("The keys are in the Secret {secret}; no replica answers yet that it has loaded them."),
        ),
        Progress::Steady => {
            say(ConditionStatus::True, "Loaded", "Every replica that answers has loaded the keys.".to_owned())
        }
    }
}

/// A replica without a key that tokens are signed by. One that is yet to be used is the rotation's affair.
fn missing<'a>(facts: &'a Facts<'_>, keys: &'a KeySet) -> Option<(&'a str, &'a str)> {
    reports(facts).into_iter().find_map(|(pod, report)| {
        let mut used = keys.in_force().filter(|(_, phase)| *phase != Phase::Published);
        let (absent, _) =
            used.find(|(kid, _)| report.signing_keys.iter().all(|loaded| loaded.kid != *kid))?;
        Some((pod, absent))
    })
}

//! The condition `KeysReady`, and the keys in the status. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use latchkey_crds::auth_service::{AuthServiceStatus, SigningKeyStatus};
use latchkey_crds::conditions as types;
use latchkey_keyset::Phase;

use super::facts::{ConditionStatus, Facts, Stated, first_denied, keys_lost, reports, state};
use crate::auth_service::apply::Applied;
use crate::auth_service::validate::Validated;
use crate::signing_keys::{KeyMaterial, KeySet, Progress, phase};

/// The reason while a rotation is in progress.
pub(super) const ROTATING: &str = "Rotating";

/// The existing keys, and the processed requests. If keys are lost or could not be written, the keys of the previous
/// status are kept: they prove that keys existed.
pub(super) fn signing_keys(
    before: &AuthServiceStatus,
    service: &Validated,
    applied: &Applied,
    now: Timestamp,
) -> (Vec<SigningKeyStatus>, BTreeMap<String, String>) {
    let refused = !applied.refused.is_empty();
    let name_conflicts = applied.name_conflicts.iter().any(|(_, name)| *name == service.names.jwt_keys());
    // While reconciling is paused, the decision is not written.
    let paused = service.spec.paused
        && (service.rotation.changed || matches!(service.keys, KeyMaterial::Generated(_)));
    let unwritten =
        name_conflicts || paused || (refused && (before.signing_keys.is_empty() || service.rotation.changed));
    let Some(keys) = service.keys.key_set().filter(|_| !unwritten) else {
        return (before.signing_keys.clone(), before.key_requests.clone());
    };
    let mut handled = before.key_requests.clone();
    handled.extend(keys.ledger().notes.handled.clone());
    let statuses = keys.ledger().entries.iter().map(|key| SigningKeyStatus {
        kid: key.kid.clone(),
        phase: phase(key.phase),
        since: Time(key.notes.since.and_then(|since| Timestamp::from_second(since).ok()).unwrap_or(now)),
        waits_for: service.rotation.status.waits_for.get(&key.kid).cloned(),
    });
    (statuses.collect(), handled)
}

pub(super) fn decide_keys(facts: &Facts<'_>) -> Stated {
    let stated = |status, reason, message: String| state(types::KEYS_READY, status, reason, message);
    let secret = facts.service.names.jwt_keys();
    let keys = match &facts.service.keys {
        KeyMaterial::Lost(what) => {
            return stated(ConditionStatus::False, "KeyMaterialLost", keys_lost(facts, what));
        }
        KeyMaterial::Generated(_) if facts.service.spec.paused => {
            let message = "No keys exist yet, and reconciling is paused.".to_owned();
            return stated(ConditionStatus::False, "Blocked", message);
        }
        KeyMaterial::Stored(keys) | KeyMaterial::Generated(keys) => keys,
    };
    if facts.applied.name_conflicts.iter().any(|(_, name)| *name == secret) {
        let message = format!(
            "the Secret {secret} exists and has another owner; the condition Ready describes what to do."
        );
        return stated(ConditionStatus::False, "Blocked", message);
    }
    if let Some((pod, kid)) = missing(facts, keys) {
        let message = format!("Pod {pod} has not loaded key {kid} yet: if this persists, check its log.");
        return stated(ConditionStatus::False, "NotLoaded", message);
    }
    if let Some(why) = first_denied(facts) {
        let message = format!(
            "{why} Until then the operator proves by restarts of the pods that they have loaded a new key: a rotation rolls them twice."
        );
        return stated(ConditionStatus::False, "StatusDenied", message);
    }
    match &facts.service.rotation.status.progress {
        Progress::ReplicaLags(why) => stated(
            ConditionStatus::False,
            "ReplicaLags",
            format!("The key rotation is delayed, {why}: check the log of the pod, or delete the pod."),
        ),
        Progress::Rotating(why) => {
            stated(ConditionStatus::True, ROTATING, format!("A key rotation is in progress, {why}."))
        }
        Progress::Steady if reports(facts).is_empty() => stated(
            ConditionStatus::True,
            "Stored",
            format!("The keys are stored in the Secret {secret}; no replica reports them as loaded yet."),
        ),
        Progress::Steady => {
            stated(ConditionStatus::True, "Loaded", "All reporting replicas have loaded the keys.".to_owned())
        }
    }
}

/// A replica that has not loaded a key that is used for signing or verification. A published key is handled by the
/// rotation.
fn missing<'a>(facts: &'a Facts<'_>, keys: &'a KeySet) -> Option<(&'a str, &'a str)> {
    reports(facts).into_iter().find_map(|(pod, report)| {
        let mut used = keys.in_force().filter(|(_, phase)| *phase != Phase::Published);
        let (absent, _) =
            used.find(|(kid, _)| report.signing_keys.iter().all(|loaded| loaded.kid != *kid))?;
        Some((pod, absent))
    })
}

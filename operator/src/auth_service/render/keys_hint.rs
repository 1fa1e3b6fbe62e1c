//! The pods that are notified of a new key set.

use kube::ResourceExt;

use super::hint::{Hint, is_due};
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::server_reports::Report;
use crate::auth_service::validate::Validated;
use crate::fingerprint::fingerprint;
use crate::names::KEYS_ANNOTATION;
use crate::signing_keys::KeySet;

/// The pods that have not loaded the current key set and were not notified yet.
pub(super) fn build(service: &Validated, external_state: &ExternalState) -> Vec<Hint> {
    let Some(keys) = service.keys.key_set() else { return Vec::new() };
    let value = value(keys);
    let due = external_state.pods.iter().filter(|pod| is_due(pod, KEYS_ANNOTATION, &value));
    let behind = due.filter(|pod| {
        external_state
            .report_of(&pod.name_any())
            .map_or(service.rotation.changed, |report| !has_loaded(report, keys))
    });
    behind.map(|pod| Hint::new(pod, KEYS_ANNOTATION, &value)).collect()
}

fn value(keys: &KeySet) -> String {
    let max_age = keys.ledger().notes.max_age().to_string();
    let ids = keys.in_force().flat_map(|(kid, phase)| [kid, phase.as_str()]);
    fingerprint(ids.chain([max_age.as_str()]).map(str::as_bytes))[..16].to_owned()
}

/// Servers that do not report phases and times are compared by key id only.
fn has_loaded(report: &Report, keys: &KeySet) -> bool {
    let max_age = keys.ledger().notes.max_age();
    report.jwks_max_age.is_none_or(|reported| reported == max_age)
        && report.signing_keys.len() == keys.in_force().count()
        && keys.in_force().all(|(kid, phase)| {
            report.signing_keys.iter().any(|loaded| {
                loaded.kid == kid && loaded.phase.as_deref().is_none_or(|reported| reported == phase.as_str())
            })
        })
}

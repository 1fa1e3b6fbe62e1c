//! The annotation on a server pod that makes its kubelet update the mounted key set immediately instead of once a
//! minute.

use kube::ResourceExt;

use crate::auth_service::dereference::ExternalState;
use crate::auth_service::server_reports::Report;
use crate::auth_service::validate::Validated;
use crate::fingerprint::fingerprint;
use crate::names::KEYS_ANNOTATION;
use crate::signing_keys::KeySet;

/// A pod to notify of the key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeysHint {
    pub pod: String,
    pub uid: String,
    /// The value of the annotation.
    pub value: String,
}

/// The pods that have not loaded the current key set and were not notified yet.
pub(super) fn build(service: &Validated, external_state: &ExternalState) -> Vec<KeysHint> {
    let Some(keys) = service.keys.key_set() else { return Vec::new() };
    let value = value(keys);
    let mut hints = Vec::new();
    for pod in &external_state.pods {
        let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        let reported = pod.annotations().get(KEYS_ANNOTATION) == Some(&value);
        if !running || reported || pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let name = pod.name_any();
        let answer = external_state.answers.iter().find(|answer| answer.pod == name);
        let behind = match answer.and_then(|answer| answer.report.as_ref()) {
            Some(report) => !has_loaded(report, keys),
            None => service.rotation.changed,
        };
        if behind {
            hints.push(KeysHint { pod: name, uid: pod.uid().unwrap_or_default(), value: value.clone() });
        }
    }
    hints
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

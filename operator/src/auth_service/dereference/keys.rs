//! The signing keys: reads the Secret, the requests and the reports of the replicas, and decides the next step.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DynamicObject;
use latchkey_config::SecretText;
use latchkey_crds::AuthService;
use latchkey_keyset::{Algorithm, KeySetError, Phase, PrivateJwk};

use super::error::DereferenceError;
use super::lookup::{Lookup, data_of, entropy, text_of};
use crate::auth_service::server_reports::{Answer, Report};
use crate::cluster::controller_reference::controller_of;
use crate::credentials::password_from;
use crate::names::{ANNOTATIONS, KEYS_KEY, REQUIRED_KEY_ANNOTATION, SALT_KEY};
use crate::signing_keys::{
    KeyMaterial, KeySet, Plan, Remembered, Replica, ReplicaReport, Request, Requests, RequiredKey,
    RotationStatus, decide_key_material,
};

/// The rotation state that belongs to the keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rotation {
    /// The resource version of the Secret on which the decision is based; the Secret is only written over this
    /// version.
    pub based_on: Option<String>,
    /// Whether this reconcile changes the key set.
    pub changed: bool,
    /// The rotation as reported in the status.
    pub status: RotationStatus,
    /// The time until the next step.
    pub due: Option<Duration>,
}

/// The keys, the salt, and the rotation state.
pub(super) type Keys = (KeyMaterial, SecretText, Rotation);

impl Lookup<'_> {
    /// The keys after all steps that are due; without a plan, which the spec may lack, they stay. `in_use`: the
    /// Deployment exists.
    pub(super) async fn keys(
        &self,
        name: &str,
        auth_service: &AuthService,
        plan: Option<&Plan>,
        in_use: bool,
        replicas: &[Replica],
    ) -> Result<Keys, DereferenceError> {
        let status = self.context.last_status(auth_service);
        let remembered = Remembered { keys: &status.signing_keys, in_use };
        let expected = in_use || !remembered.keys.is_empty();
        let entropy = entropy()?;
        let secret = self
            .own_secret(name, expected)
            .await?
            .map(|seen| self.newest_keys(seen))
            .filter(|secret| self.is_ours(secret) || (expected && controller_of(secret).is_none()));
        let mut data = secret.as_ref().map(|secret| data_of(secret));
        let salt = data.as_mut().and_then(|data| text_of(data.remove(SALT_KEY)));
        let stored = data.map(|mut data| data.remove(KEYS_KEY).unwrap_or_default());
        let requests = requests(auth_service, status.key_requests.clone());
        let now = Timestamp::now().as_second();
        let fresh = |superseded| match plan {
            Some(plan) => KeySet::first(plan, &requests, superseded, now, generate),
            None => Err(KeySetError::Generation),
        };
        let material = decide_key_material(stored.as_deref(), remembered, &requests, fresh)?;
        let mut rotation =
            Rotation { based_on: secret.and_then(|secret| secret.resource_version()), ..Rotation::default() };
        let material = match (material, plan) {
            (KeyMaterial::Stored(set), Some(plan)) => {
                let (set, status, due) = set.next(now, plan, &requests, replicas, generate)?;
                rotation =
                    Rotation { changed: stored.as_deref() != Some(set.json()), status, due, ..rotation };
                KeyMaterial::Stored(set)
            }
            (other, _) => other,
        };
        let salt = salt.unwrap_or_else(|| match material {
            // Nothing is written, so that the salt must not change on every reconcile.
            KeyMaterial::Lost(_) => SecretText::new(self.uid.clone()),
            // A removed salt is generated again, which rolls the pods once.
            KeyMaterial::Stored(_) | KeyMaterial::Generated(_) => password_from(&entropy),
        });
        Ok((material, salt, rotation))
    }

    /// The Secret written last, while the cache still has the version that it replaced.
    fn newest_keys(&self, seen: Arc<DynamicObject>) -> Arc<DynamicObject> {
        let version = seen.resource_version();
        let newer = self.context.with_memory(&self.uid, |memory| memory.keys.newer_than(version.as_deref()));
        newer.unwrap_or(seen)
    }
}

/// Generating an RSA key takes up to a second. Only then: `block_in_place` moves other tasks to another thread, whose
/// allocator keeps memory.
fn generate(algorithm: Algorithm, phase: Phase) -> Result<PrivateJwk, KeySetError> {
    match algorithm {
        Algorithm::Rs256 => tokio::task::block_in_place(|| latchkey_keyset::generate(algorithm, phase)),
        Algorithm::Es256 | Algorithm::EdDsa => latchkey_keyset::generate(algorithm, phase),
    }
}

fn requests(auth_service: &AuthService, handled: std::collections::BTreeMap<String, String>) -> Requests {
    let annotations = auth_service.annotations();
    let requested = Request::ALL.into_iter().filter_map(|request| {
        let value = annotations.get(&format!("{ANNOTATIONS}{}", request.as_str()))?;
        // The value is stored in a place with little room.
        let short: String = value.chars().take(64).collect();
        let short = if short == *value { short } else { crate::fingerprint::fingerprint([value.as_bytes()]) };
        Some((request.as_str().to_owned(), short))
    });
    Requests { requested: requested.collect(), handled }
}

/// The pods that may be serving or signing, with the keys that each reports.
pub(super) fn replicas(pods: &[Pod], answers: &[Answer]) -> Vec<Replica> {
    let mut replicas = Vec::new();
    for pod in pods {
        let status = pod.status.as_ref();
        let name = pod.name_any();
        let ended = status
            .and_then(|status| status.phase.as_deref())
            .is_some_and(|p| p == "Succeeded" || p == "Failed");
        let report =
            answers.iter().find(|answer| answer.pod == name).and_then(|answer| answer.report.as_ref());
        // A terminating pod finishes its requests and is not queried any more.
        let ending = pod.metadata.deletion_timestamp.is_some();
        if !ended && (ending || is_ready(pod) || report.is_some()) {
            let report = report.map(replica_report).or_else(|| proved_by_start(pod));
            replicas.push(Replica { pod: name, report: report.filter(|_| !ending) });
        }
    }
    replicas
}

/// Whether a pod is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What is known of a pod that does not report, but became ready: it has loaded the key that its startup probe requires.
fn proved_by_start(pod: &Pod) -> Option<ReplicaReport> {
    let required = RequiredKey::parse(pod.annotations().get(REQUIRED_KEY_ANNOTATION)?)?;
    is_ready(pod).then(|| ReplicaReport {
        keys: [(required.kid, Some(Phase::Active))].into(),
        time: None,
        // A server takes it from the set, whose notes contain the longest one.
        jwks_cache_time: Some(0),
        token_ttl: None,
        may_sign_with_others: required.phase != Phase::Active,
    })
}

fn replica_report(report: &Report) -> ReplicaReport {
    let phase = |name: &str| {
        [Phase::Published, Phase::Active, Phase::Retiring].into_iter().find(|phase| phase.as_str() == name)
    };
    let keys = report.signing_keys.iter();
    ReplicaReport {
        keys: keys.map(|key| (key.kid.clone(), key.phase.as_deref().and_then(phase))).collect(),
        time: report.time,
        jwks_cache_time: report.jwks_max_age,
        token_ttl: report.longest_token_lifetime,
        may_sign_with_others: false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, metadata: &Value, phase: &str, ready: &str) -> Pod {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": metadata.clone(),
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap();
        pod.metadata.name = Some(name.to_owned());
        pod
    }

    #[test]
    fn a_rotation_waits_for_every_pod_that_may_sign() {
        let ending = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        let pods = [
            pod("ready", &json!({}), "Running", "True"),
            pod("starting", &json!({}), "Pending", "False"),
            pod("answers", &json!({}), "Running", "False"),
            pod("crashing", &json!({}), "Running", "False"),
            pod("ending", &ending, "Running", "True"),
            pod("ended", &ending, "Failed", "False"),
        ];
        let report: Report = serde_json::from_value(
            json!({"signing_keys": [{"kid": "a", "phase": "active"}, {"kid": "b", "phase": "new"}]}),
        )
        .unwrap();
        let answer = |pod: &str| Answer { pod: pod.to_owned(), report: Some(report.clone()), fault: None };
        let found = replicas(&pods, &[answer("answers"), answer("ending")]);
        let reported: Vec<_> =
            found.iter().map(|replica| (replica.pod.as_str(), replica.report.is_some())).collect();
        assert_eq!(reported, [("ready", false), ("answers", true), ("ending", false)]);
        let keys = &found[1].report.as_ref().unwrap().keys;
        assert_eq!((keys["a"], keys["b"]), (Some(Phase::Active), None));
    }
}

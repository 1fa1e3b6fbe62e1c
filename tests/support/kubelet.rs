//! Simulates the kubelet, because the control plane of the tests has no nodes: every created pod starts immediately.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Selects the server's pods.
pub const SERVERS: &str = "app.kubernetes.io/component=server";

/// The number of pods that start concurrently.
const CONCURRENCY: usize = 16;

/// What becomes of a pod that the kubelet starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It becomes ready at this address.
    Ready(String),
    /// All its containers exit successfully.
    Succeeded,
    /// A container exits with an error.
    Failed,
}

/// Starts pods until it is dropped. Started pods are not changed again, so that a test can change them.
#[derive(Debug)]
pub struct Kubelet(JoinHandle<()>);

impl Kubelet {
    /// Starts the pods of a namespace, existing ones included: the pod of a Job succeeds, any other becomes ready at
    /// `pod_ip`.
    pub fn start(client: Client, namespace: &str, pod_ip: String) -> Self {
        let pods = Api::namespaced(client.clone(), namespace);
        Self::start_pods(client, pods, move |pod| {
            if is_of_job(pod) { Outcome::Succeeded } else { Outcome::Ready(pod_ip.clone()) }
        })
    }

    /// Starts the pods of all namespaces; `outcome` decides what becomes of each.
    pub fn start_in_all_namespaces(
        client: Client,
        outcome: impl Fn(&Pod) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::start_pods(client.clone(), Api::all(client), outcome)
    }

    fn start_pods(
        client: Client,
        pods: Api<Pod>,
        outcome: impl Fn(&Pod) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        let outcome = Arc::new(outcome);
        Self(tokio::spawn(async move {
            let stream = watcher(pods, watcher::Config::default()).default_backoff().applied_objects();
            let changed = stream.map_err(drop).filter_map(async |pod| pod.ok());
            changed
                .for_each_concurrent(CONCURRENCY, |pod| {
                    let (client, outcome) = (client.clone(), outcome.clone());
                    async move {
                        if phase(&pod) == "Pending" && pod.metadata.deletion_timestamp.is_none() {
                            let pods = Api::namespaced(client, &pod.namespace().unwrap_or_default());
                            // The pod may have been deleted meanwhile.
                            let _ = set_status(&pods, &pod.name_any(), &status(&outcome(&pod))).await;
                        }
                    }
                })
                .await;
        }))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether a Job created the pod.
pub fn is_of_job(pod: &Pod) -> bool {
    pod.owner_references().iter().any(|owner| owner.kind == "Job")
}

/// Sets the readiness of the selected pods in a namespace.
///
/// # Panics
/// When the API server refuses it.
pub async fn set_ready(client: Client, namespace: &str, selector: &str, ready: bool) {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let found = pods.list(&ListParams::default().labels(selector)).await.expect("pods");
    for pod in found {
        let status = json!({"conditions": [ready_condition(ready)]});
        set_status(&pods, &pod.name_any(), &status).await.expect("the pod's status is written");
    }
}

/// Merges this into the status of a pod.
///
/// # Errors
/// When the API server refuses it.
pub async fn set_status(pods: &Api<Pod>, name: &str, status: &Value) -> Result<Pod, kube::Error> {
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn status(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Succeeded => json!({"phase": "Succeeded"}),
        Outcome::Failed => json!({"phase": "Failed"}),
        Outcome::Ready(ip) => {
            let mut status = running(ip);
            status["conditions"] = json!([ready_condition(true)]);
            status
        }
    }
}

/// The status of a pod that runs at this address and is not ready.
pub fn running(ip: &str) -> Value {
    json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]})
}

/// The status of a pod whose only container has exited with an error and this termination message.
pub fn failed_with(container: &str, message: &str) -> Value {
    let now = now();
    let terminated =
        json!({"exitCode": 1, "reason": "Error", "message": message, "startedAt": now, "finishedAt": now});
    json!({"phase": "Failed", "containerStatuses": [{
        "name": container, "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
        "state": {"terminated": terminated},
    }]})
}

/// The status of a pod whose container exited successfully long ago, while an injected proxy runs.
pub fn exited_beside_a_proxy(container: &str) -> Value {
    let now = now();
    let status = |name: &str, ready: bool, state: Value| json!({"name": name, "image": "x", "imageID": "x", "ready": ready, "restartCount": 0, "state": state});
    let then = "2026-01-01T00:00:00Z";
    let exited =
        json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": then, "finishedAt": then}});
    let running = json!({"running": {"startedAt": now}});
    json!({"phase": "Running", "containerStatuses": [
        status(container, false, exited), status("istio-proxy", true, running),
    ]})
}

fn ready_condition(ready: bool) -> Value {
    json!({"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": now()})
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

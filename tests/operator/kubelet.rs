//! Simulates the kubelet in one namespace, because there are no nodes: every created pod starts immediately.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Selects the server's pods.
pub const SERVERS: &str = "app.kubernetes.io/component=server";

/// Starts pods until it is dropped: the pod of a Job succeeds, any other becomes ready. Started pods are not changed
/// again, so that a test can change them.
pub struct Kubelet(JoinHandle<()>);

impl Kubelet {
    /// Starts, including existing pods.
    pub fn start(client: Client, namespace: &str, pod_ip: String) -> Self {
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        Self(tokio::spawn(async move {
            let changes =
                watcher(pods.clone(), watcher::Config::default()).default_backoff().applied_objects();
            let mut changes = std::pin::pin!(changes.map_err(drop).filter_map(async |pod| pod.ok()));
            while let Some(pod) = changes.next().await {
                if phase(&pod) == "Pending" && pod.metadata.deletion_timestamp.is_none() {
                    // It may be deleted already.
                    let _ = set_status(&pods, &pod.name_any(), &started(&pod, &pod_ip)).await;
                }
            }
        }))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sets the readiness of all server pods in a namespace.
pub async fn set_ready(client: Client, namespace: &str, selector: &str, ready: bool) {
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    let found = pods.list(&kube::api::ListParams::default().labels(selector)).await.expect("pods");
    for pod in found {
        let status = json!({"conditions": [ready_condition(ready)]});
        set_status(&pods, &pod.name_any(), &status).await.expect("the pod's status is written");
    }
}

async fn set_status(pods: &Api<Pod>, name: &str, status: &Value) -> Result<Pod, kube::Error> {
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn started(pod: &Pod, pod_ip: &str) -> Value {
    if pod.owner_references().iter().any(|owner| owner.kind == "Job") {
        return json!({"phase": "Succeeded"});
    }
    json!({
        "phase": "Running",
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "conditions": [ready_condition(true)],
    })
}

fn ready_condition(ready: bool) -> Value {
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    json!({"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": now})
}

//! Simulates the kubelets of the cluster: every created pod starts immediately.

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::servers::{Addresses, INSTANCE};

const AT_ONCE: usize = 16;

/// Starts pods until it is dropped: the pod of a Job succeeds, any other becomes ready.
pub struct Kubelet(JoinHandle<()>);

impl Kubelet {
    /// Begins.
    pub fn start(client: Client, addresses: Addresses) -> Self {
        let pods: Api<Pod> = Api::all(client.clone());
        Self(tokio::spawn(async move {
            let changes = watcher(pods, watcher::Config::default()).default_backoff().applied_objects();
            changes
                .for_each_concurrent(AT_ONCE, |pod| {
                    let (client, addresses) = (client.clone(), addresses.clone());
                    async move {
                        if let Ok(pod) = pod {
                            start_pod(client, &pod, &addresses).await;
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

async fn start_pod(client: Client, pod: &Pod, addresses: &Addresses) {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    if phase != "Pending" || pod.metadata.deletion_timestamp.is_some() {
        return;
    }
    let instance = pod.labels().get(INSTANCE).cloned().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client, &pod.namespace().unwrap_or_default());
    let status = json!({"status": started(pod, &addresses.of(&instance))});
    // It may be deleted already.
    let _ = pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
}

fn started(pod: &Pod, ip: &str) -> Value {
    if pod.owner_references().iter().any(|owner| owner.kind == "Job") {
        let fails = pod.name_any().starts_with(crate::broken::PREFIX);
        return json!({"phase": if fails { "Failed" } else { "Succeeded" }});
    }
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    json!({
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
    })
}

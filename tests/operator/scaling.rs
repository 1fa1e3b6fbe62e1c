//! Scaling is progress: `Ready` stays `True` while replicas start or stop, and becomes `False` when one is missing.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::apply;
use latchkey_tests::kubelet::{SERVERS, set_ready};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::fixture::{Fixture, NAME, condition};
use crate::tools::status_of;
use crate::waiting::wait_for;

/// Every state of `Ready` and `Reconciling` that a watch shows, until it is dropped.
struct History {
    seen: Arc<Mutex<Vec<(String, String)>>>,
    watching: JoinHandle<()>,
}

impl History {
    fn start(fixture: &Fixture) -> Self {
        let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (api, recorded) = (fixture.api::<AuthService>(), seen.clone());
        let watching = tokio::spawn(async move {
            let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                let Ok(object) = change else { continue };
                let status = |type_| {
                    let found = condition(&object, type_);
                    found.map(|found| format!("{} {} {}", found.status, found.reason, found.message))
                };
                let found = (status("Ready").unwrap_or_default(), status("Reconciling").unwrap_or_default());
                recorded.lock().unwrap_or_else(PoisonError::into_inner).push(found);
            }
        });
        Self { seen, watching }
    }

    fn seen(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn scale_as_the_autoscaler(fixture: &Fixture, replicas: i32) {
    let parameters =
        PatchParams { field_manager: Some("kube-controller-manager".to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    fixture.api::<Deployment>().patch_scale(NAME, &parameters, &patch).await.expect("it is scaled");
}

/// Waits until the message of `Ready` starts with this.
async fn wait_for_message(fixture: &Fixture, text: &str) -> AuthService {
    wait_for(fixture.api::<AuthService>(), NAME, |object| {
        let object = object.ok_or("it is gone")?;
        let ready = condition(object, "Ready").ok_or("no condition")?;
        ready.message.starts_with(text).then(|| object.clone()).ok_or_else(|| format!("{ready:?}"))
    })
    .await
}

#[tokio::test]
async fn a_step_of_the_autoscaler_leaves_the_service_ready() {
    let fixture = Fixture::new("scaling").await;
    let kubelet = fixture.start_kubelet();
    let mut operator = fixture.start_operator().await;
    fixture.apply(json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 5}})).await;
    wait_for_message(&fixture, "2 of 2 replicas are ready.").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    let history = History::start(&fixture);

    // No pod starts.
    drop(kubelet);
    scale_as_the_autoscaler(&fixture, 4).await;
    let object = wait_for_message(&fixture, "2 of 4 replicas are ready").await;
    assert_eq!(condition(&object, "Ready").expect("a condition").status, "True");
    fixture.wait_for_reason("Progressing", "True", "Scaling").await;
    // The spec is applied: neither kstatus nor Argo CD reports progress.
    fixture.wait_for_condition("Reconciling", "False").await;
    assert_eq!(status_of(&fixture.auth_service().await), "Healthy");
    // A new process continues with the state in the status.
    operator.terminate();
    let operator = fixture.start_operator().await;
    operator.wait_for_reconciles(0.0).await;
    fixture.touch().await;
    operator.wait_for_reconciles(1.0).await;
    let _kubelet = fixture.start_kubelet();
    wait_for_message(&fixture, "4 of 4 replicas are ready.").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    scale_as_the_autoscaler(&fixture, 2).await;
    wait_for_message(&fixture, "2 of 2 replicas are ready.").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    let seen = history.seen();
    let flapped = |(ready, reconciling): &&(String, String)| {
        !ready.starts_with("True Available") || !reconciling.starts_with("False")
    };
    assert_eq!(seen.iter().find(flapped), None, "{seen:?}");
    drop(history);

    // A replica that was ready is missing.
    set_ready(fixture.client.clone(), &fixture.namespace, SERVERS, false).await;
    fixture.wait_for_reason("Ready", "False", "ReplicasNotReady").await;
}

#[tokio::test]
async fn a_lost_replica_is_missing_while_others_are_added() {
    let fixture = Fixture::new("scaling-lost").await;
    let kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 2})).await;
    wait_for_message(&fixture, "2 of 2 replicas are ready.").await;
    drop(kubelet);
    fixture.merge(json!({"spec": {"replicas": 4}})).await;
    let object = wait_for_message(&fixture, "2 of 4 replicas are ready").await;
    assert_eq!(condition(&object, "Ready").expect("a condition").status, "True");
    // The spec asks for more replicas: tools wait for them.
    fixture.wait_for_reason("Reconciling", "True", "Scaling").await;
    assert_eq!(status_of(&fixture.auth_service().await), "Progressing");
    set_ready(fixture.client.clone(), &fixture.namespace, SERVERS, false).await;
    fixture.wait_for_reason("Ready", "False", "ReplicasNotReady").await;
    set_ready(fixture.client.clone(), &fixture.namespace, SERVERS, true).await;
    wait_for_message(&fixture, "4 of 4 replicas are ready.").await;
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn a_quota_that_refuses_a_further_replica_is_no_progress() {
    let fixture = Fixture::new("scaling-quota").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 1})).await;
    wait_for_message(&fixture, "1 of 1 replicas are ready.").await;
    let hard = json!({"pods": "0"});
    let metadata = json!({"name": "full", "namespace": fixture.namespace});
    let quota =
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}});
    apply(&fixture.client, &quota).await;
    let status: Value = json!({"status": {"hard": hard, "used": hard}});
    let quotas = fixture.api::<ResourceQuota>();
    quotas.patch_status("full", &PatchParams::default(), &Patch::Merge(status)).await.expect("it is written");
    fixture.merge(json!({"spec": {"replicas": 2}})).await;
    let ready = fixture.wait_for_reason("Ready", "False", "PodsNotCreated").await;
    assert!(ready.message.contains("exceeded quota: full"), "{}", ready.message);
}

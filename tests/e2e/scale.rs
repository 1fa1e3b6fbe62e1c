//! Scaling up and down.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use latchkey_crds::AuthService;
use serde_json::json;

use crate::client::Client;
use crate::namespace::{NAME, Namespace};
use crate::poller::{Poller, Tries};
use crate::waiting::wait_for;

#[tokio::test]
async fn replicas_follow_the_spec_and_kubectl_scale_without_a_failed_request() {
    let namespace = Namespace::new("scale").await;
    let client = Client::start(&namespace).await;
    namespace.bring_up("embedded stores, 2 replicas", json!({"replicas": 2})).await;
    client.wait_until_routed().await;
    wait_for_budget(&namespace, Some(2)).await;
    let poller = Poller::start(&namespace, &client, Tries::One).await;

    namespace.merge(json!({"spec": {"replicas": 3}})).await;
    namespace.wait_for_server_pods(3, &[]).await;
    namespace.wait_until_ready().await;
    wait_for_budget(&namespace, Some(3)).await;

    namespace.kubectl(&["scale", &format!("authsvc/{NAME}"), "--replicas=1"]);
    namespace.wait_for_server_pods(1, &[]).await;
    // Ready stays True while the service is scaled.
    wait_for("the status to show one replica", async || {
        let status = namespace.wait_until_ready().await.status.expect("a status");
        if status.ready_replicas == 1 { Ok(()) } else { Err(status.ready_replicas) }
    })
    .await;
    wait_for_budget(&namespace, None).await;
    poller.stop().await;

    // The scale subresource, which an autoscaler reads.
    let scale = namespace.api::<AuthService>().get_scale(NAME).await.expect("the scale subresource");
    let selector = scale.status.and_then(|status| status.selector).expect("a selector");
    let pods = namespace.kubectl(&["get", "pods", "-l", &selector, "-o", "name"]);
    assert_eq!(pods.lines().filter(|pod| pod.starts_with("pod/auth-")).count(), pods.lines().count());
    assert!(!pods.is_empty(), "the selector finds no pods");
}

/// Waits until the PodDisruptionBudget allows the eviction of one of these pods, or until there is none.
async fn wait_for_budget(namespace: &Namespace, pods: Option<i32>) {
    let api = namespace.api::<PodDisruptionBudget>();
    wait_for("the PodDisruptionBudget", async || {
        let budget = api.get_opt(NAME).await.map_err(|e| e.to_string())?;
        let found = budget
            .and_then(|budget| budget.status)
            .map(|status| (status.expected_pods, status.disruptions_allowed));
        if found == pods.map(|pods| (Some(pods), Some(1))) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

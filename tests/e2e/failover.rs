//! Loss of pods, by a drain and by a crash.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use crate::client::Client;
use crate::namespace::{Namespace, uids};
use crate::poller::{Poller, Tries};

#[tokio::test]
async fn no_request_fails_while_pods_are_drained_and_killed() {
    let namespace = Namespace::new("failover").await;
    let client = Client::start(&namespace).await;
    namespace.bring_up("embedded stores, 2 replicas", json!({"replicas": 2})).await;
    client.wait_until_routed().await;

    let pods = namespace.wait_for_server_pods(2, &[]).await;
    let poller = Poller::start(&namespace, &client, Tries::One).await;
    delete(&namespace, &pods[0], &DeleteParams::default()).await;
    let pods = namespace.wait_for_server_pods(2, &uids(&pods[..1])).await;
    poller.stop().await;

    let poller = Poller::start(&namespace, &client, Tries::Three).await;
    delete(&namespace, &pods[0], &DeleteParams::default().grace_period(0)).await;
    namespace.wait_for_server_pods(2, &uids(&pods[..1])).await;
    poller.stop().await;
    namespace.wait_until_ready().await;
}

async fn delete(namespace: &Namespace, pod: &Pod, how: &DeleteParams) {
    namespace.api::<Pod>().delete(&pod.name_any(), how).await.expect("the pod is deleted");
}

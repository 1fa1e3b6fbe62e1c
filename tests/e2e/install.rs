//! `helm install` and `helm upgrade`.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use crate::namespace::{NAME, Namespace, uids};
use crate::release::{self, SYSTEM};

#[tokio::test]
async fn an_upgrade_of_the_operator_does_not_roll_pods() {
    let namespace = Namespace::new("upgrade").await;
    let operators: Api<Deployment> = Api::namespaced(namespace.client.clone(), SYSTEM);
    let operator = operators.get("latchkey-operator").await.expect("the operator's Deployment");
    let status = operator.status.expect("a status");
    assert_eq!(status.ready_replicas, Some(1), "helm install waits for the operator: {status:?}");

    namespace.bring_up("embedded stores, before the upgrade", json!({})).await;
    let before = namespace.wait_for_server_pods(1, &[]).await;
    release::upgrade(&["log.level=debug"]);
    let operator = operators.get("latchkey-operator").await.expect("the operator's Deployment");
    let arguments = serde_json::to_string(&operator.spec).expect("JSON");
    assert!(arguments.contains("--log-level=debug"), "{arguments}");

    // The new operator has reconciled the AuthService when this change is applied.
    namespace.merge(json!({"spec": {"replicas": 2}})).await;
    namespace.wait_until_ready().await;
    let after = namespace.wait_for_server_pods(2, &[]).await;
    assert!(uids(&after).contains(&uids(&before)[0]), "the pod was replaced");
    let sets = namespace.api::<ReplicaSet>().list(&ListParams::default()).await.expect("ReplicaSets");
    assert_eq!(sets.items.len(), 1, "the Deployment {NAME} was rolled");
}

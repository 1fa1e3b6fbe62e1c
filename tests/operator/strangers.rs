//! Objects of the names we want that belong to somebody else.

use kube::ResourceExt;
use kube::api::DeleteParams;
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::apply;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME, condition};
use crate::waiting::wait_for;

fn strangers(namespace: &str, owner_uid: &str) -> Vec<Value> {
    let owner = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "somebody", "uid": owner_uid, "controller": true,
    }]);
    let metadata = |name: &str| json!({"name": name, "namespace": namespace});
    let of_somebody = |name: &str| json!({"name": name, "namespace": namespace, "ownerReferences": owner});
    let pod = json!({"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": []}});
    let selector = json!({"matchLabels": {"app": "theirs"}});
    let mut deployment_pod = pod;
    deployment_pod["spec"]["containers"] = json!([{"name": "theirs", "image": "theirs"}]);
    vec![
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("auth-settings"), "data": {"a": "b"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": of_somebody("auth-jwt-keys"), "stringData": {"keys.json": "theirs"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("auth-postgres"), "stringData": {"password": "theirs"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata(NAME), "spec": {"ports": [{"port": 1}]}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": of_somebody(NAME)}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(NAME), "spec": {"selector": selector}}),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": of_somebody(NAME),
            "spec": {"replicas": 0, "selector": selector, "template": deployment_pod},
        }),
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": metadata(NAME),
            "spec": {"selector": selector, "endpoints": []}}),
    ]
}

#[tokio::test]
async fn they_are_left_alone_named_and_waited_for() {
    let fixture = Fixture::new("strangers").await;
    let somebody = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "somebody", "namespace": fixture.namespace},
    });
    let owner = apply(&fixture.client, &somebody).await.uid().expect("a uid");
    let mut theirs = Vec::new();
    for stranger in strangers(&fixture.namespace, &owner) {
        let made = apply(&fixture.client, &stranger).await;
        let kind = stranger["kind"].as_str().expect("a kind").to_owned();
        theirs.push((kind, made.name_any(), made.uid(), made.metadata.generation));
    }
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"replicas": 2})).await;

    while let Some((kind, name, ..)) = theirs.first() {
        wait_for(fixture.api::<AuthService>(), NAME, |object| {
            let ready = object.and_then(|object| condition(object, "Ready")).ok_or("no condition")?;
            let names_one = theirs
                .iter()
                .any(|(kind, name, ..)| ready.message.contains(&format!("{kind} {name} exists")));
            let fits = ready.status == "False" && ready.reason == "NameTaken" && names_one;
            fits.then_some(()).ok_or_else(|| format!("{ready:?} names none of {theirs:?}"))
        })
        .await;
        // One of them makes room; the others are still as they were.
        fixture.any(kind).delete(name, &DeleteParams::default()).await.expect("it is deleted");
        theirs.remove(0);
        // The operator does not watch what is not its own, and looks again only twice a minute.
        fixture.touch().await;
        for (kind, name, uid, generation) in &theirs {
            let now = fixture.any(kind).get(name).await.expect("it is still there");
            assert_eq!((&now.uid(), &now.metadata.generation), (uid, generation), "{kind}/{name}");
            let ours = now.managed_fields().iter().any(|f| f.manager.as_deref() == Some("latchkey-operator"));
            assert!(!ours, "{kind}/{name} was written to");
        }
    }
    fixture.wait_for_condition("Ready", "True").await;
    assert!(
        fixture.events().await.iter().any(|(kind, reason, _)| kind == "Warning" && reason == "NameTaken")
    );
}

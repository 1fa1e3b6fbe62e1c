//! Deletion of an AuthService.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::api::{DeleteParams, PropagationPolicy};
use latchkey_crds::AuthService;
use latchkey_tests::blackhole::Blackhole;
use latchkey_tests::control_plane::apply;
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

/// Deletes the AuthService, but not its objects.
async fn delete_orphaning(fixture: &Fixture) {
    let orphaning =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    fixture.api::<AuthService>().delete(NAME, &orphaning).await.expect("it is deleted");
    wait::until("the AuthService to be gone", async || {
        let found = fixture.api::<AuthService>().get_opt(NAME).await.expect("a response");
        wait::check(found.is_none(), found.map(|object| object.metadata.finalizers))
    })
    .await;
}

#[tokio::test]
async fn a_deletion_leaves_no_objects_and_the_auth_service_can_be_created_again() {
    let fixture = Fixture::new("deletion").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let before = fixture.everything().await;
    let spec = json!({"replicas": 2, "database": {"embedded": {"storage": "1Gi"}}});
    fixture.apply(spec.clone()).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert!(fixture.everything().await.len() > before.len() + 15);

    fixture.api::<AuthService>().delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
    wait::until("everything to be gone", async || {
        let left: BTreeSet<String> = fixture.everything().await.difference(&before).cloned().collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;

    fixture.apply(spec).await;
    fixture.wait_for_condition("Ready", "True").await;
}

/// The cache stores no objects of an AuthService that does not exist. A new one of the same name has to find them.
#[tokio::test]
async fn objects_that_a_deletion_left_are_adopted_by_a_new_auth_service() {
    let fixture = Fixture::new("orphans").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let spec = json!({"replicas": 2, "database": {"embedded": {"storage": "1Gi"}}});
    fixture.apply(spec.clone()).await;
    fixture.wait_for_condition("Ready", "True").await;
    let uids = async || -> BTreeMap<String, Option<String>> {
        let kinds =
            ["Service/auth", "Secret/auth-postgres", "StatefulSet/auth-postgres", "ConfigMap/auth-settings"];
        let owned = fixture.owned().await;
        kinds.iter().map(|name| ((*name).to_owned(), owned.get(*name).and_then(ResourceExt::uid))).collect()
    };
    let before = uids().await;
    assert!(before.values().all(Option::is_some), "{before:?}");

    delete_orphaning(&fixture).await;
    // The operator never adopts signing keys.
    fixture.any("Secret").delete("auth-jwt-keys", &DeleteParams::default()).await.expect("it is deleted");
    fixture.apply(spec).await;
    wait::until_equal("the owned objects", before, uids).await;
}

/// The reconcile of the deleted AuthService is in progress while a new one of the same name is created.
#[tokio::test]
async fn a_new_auth_service_does_not_get_the_status_of_its_predecessor() {
    let fixture = Fixture::new("successor").await;
    let _kubelet = fixture.start_kubelet();
    let webhook = Blackhole::listen("127.0.0.1:0").await;
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let delaying = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": format!("latchkey-{}", fixture.namespace)},
        "webhooks": [{
            "name": "delays.latchkey.dev",
            "clientConfig": {"url": format!("https://{}/", webhook.address())},
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
                "resources": ["configmaps"], "scope": "Namespaced",
            }],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": fixture.namespace}},
            // The garbage collector also writes the ConfigMap.
            "matchConditions": [{
                "name": "operator",
                "expression": "has(request.options.fieldManager) && request.options.fieldManager == 'latchkey-operator'",
            }],
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "timeoutSeconds": 20,
            "admissionReviewVersions": ["v1"],
        }],
    });
    apply(&fixture.client, &delaying).await;
    // Repeated, because the API server takes a moment to load the webhook.
    wait::until("a reconcile that hangs", async || {
        let audience = uuid::Uuid::new_v4().to_string();
        fixture.merge(json!({"spec": {"tokens": {"audience": audience}}})).await;
        wait::check(webhook.accepted() > 0, webhook.accepted())
    })
    .await;

    delete_orphaning(&fixture).await;
    fixture.apply(json!({})).await;
    let reconciled = tokio::spawn(wait_for(fixture.api::<AuthService>(), NAME, |object| {
        let object = object.ok_or("there is no AuthService")?;
        let observed = object.status.as_ref().and_then(|status| status.observed_generation);
        // -1 is the default of the CRD.
        let observed = observed.filter(|observed| *observed >= 0).ok_or("no status of the operator")?;
        Ok((object.metadata.generation, Some(observed)))
    }));
    // The API server ignores the failed webhook.
    drop(webhook);
    let (generation, observed) = reconciled.await.expect("a status");
    assert_eq!(observed, generation);
}

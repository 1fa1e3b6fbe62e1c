//! Deletion of an AuthService.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PropagationPolicy};
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

/// Lets an admission webhook that does not respond delay the writes of ConfigMaps for which the expression holds.
async fn delay(fixture: &Fixture, webhook: &Blackhole, operation: &str, expression: &str) {
    let delaying = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": format!("latchkey-{}", fixture.namespace)},
        "webhooks": [{
            "name": "delays.latchkey.dev",
            "clientConfig": {"url": format!("https://{}/", webhook.address())},
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": [operation],
                "resources": ["configmaps"], "scope": "Namespaced",
            }],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": fixture.namespace}},
            "matchConditions": [{"name": "delayed", "expression": expression}],
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "timeoutSeconds": 20,
            "admissionReviewVersions": ["v1"],
        }],
    });
    apply(&fixture.client, &delaying).await;
}

/// A write takes as long as an admission webhook, in which time the AuthService may be deleted.
#[tokio::test]
async fn nothing_is_created_for_an_auth_service_that_was_deleted_during_a_write() {
    let fixture = Fixture::new("deleted-meanwhile").await;
    let webhook = Blackhole::listen("127.0.0.1:0").await;
    delay(&fixture, &webhook, "CREATE", "object.metadata.name.startsWith('first-')").await;
    let _operator = fixture.start_operator().await;
    let object = |name: &str| {
        let metadata = json!({"name": name, "namespace": fixture.namespace});
        json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": metadata, "spec": {}})
    };
    // Repeated, because the API server takes a moment to load the webhook.
    let number = Cell::new(0);
    wait::until("a write that hangs", async || {
        apply(&fixture.client, &object(&format!("first-{}", number.replace(number.get() + 1)))).await;
        wait::check(webhook.accepted() > 0, webhook.accepted())
    })
    .await;
    let services = fixture.api::<AuthService>();
    for object in services.list(&ListParams::default()).await.expect("the AuthServices") {
        services.delete(&object.name_any(), &DeleteParams::background()).await.expect("it is deleted");
    }
    // The same watch announces this one after the deletions.
    let written = |name: &'static str| {
        let mut writes = fixture.writes();
        writes.retain(|write| write.name.starts_with(name));
        writes
    };
    apply(&fixture.client, &object("second")).await;
    wait::until("a write for the second one", async || {
        wait::check(!written("second").is_empty(), "no write")
    })
    .await;
    let before = written("first-").len();

    // The API server ignores the failed webhook.
    drop(webhook);
    let after = || {
        let mut after = written("first-").split_off(before);
        after.retain(|write| write.code < 300);
        after
    };
    wait::until("the end of the write", async || {
        wait::check(after().iter().any(|write| write.resource == "configmaps"), after())
    })
    .await;
    fixture.wait_for_value("ConfigMap", "second-settings", "/metadata/name", &json!("second-settings")).await;
    fixture
        .wait_for_value("Service", "second-management", "/metadata/name", &json!("second-management"))
        .await;
    let created: Vec<_> = after().into_iter().filter(|write| write.resource != "configmaps").collect();
    assert_eq!(created, [], "objects of deleted AuthServices were created");
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
    // The garbage collector also writes the ConfigMap.
    let by_operator =
        "has(request.options.fieldManager) && request.options.fieldManager == 'latchkey-operator'";
    delay(&fixture, &webhook, "UPDATE", by_operator).await;
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

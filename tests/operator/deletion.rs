//! Deletion of an AuthService.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::api::{DeleteParams, PropagationPolicy};
use latchkey_crds::AuthService;
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, NAME};

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

    let orphaning =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    fixture.api::<AuthService>().delete(NAME, &orphaning).await.expect("it is deleted");
    wait::until("the AuthService to be gone", async || {
        let found = fixture.api::<AuthService>().get_opt(NAME).await.expect("a response");
        wait::check(found.is_none(), found.map(|object| object.metadata.finalizers))
    })
    .await;
    // The operator never adopts signing keys.
    fixture.any("Secret").delete("auth-jwt-keys", &DeleteParams::default()).await.expect("it is deleted");
    fixture.apply(spec).await;
    wait::until_equal("the owned objects", before, uids).await;
}

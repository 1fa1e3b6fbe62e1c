//! Deletion of an AuthService.

use std::collections::BTreeSet;

use kube::api::DeleteParams;
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

//! Replicas.

use kube::api::{Patch, PatchParams};
use latchkey_crds::AuthService;
use serde_json::json;

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

#[tokio::test]
async fn the_scale_subresource_changes_the_replicas_and_the_disruption_budget() {
    let fixture = Fixture::new("scale").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let budgets = fixture.any("PodDisruptionBudget");
    assert!(budgets.get_opt(NAME).await.expect("a response").is_none(), "one replica needs none");

    let scale = async |replicas: i32| {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let api = fixture.api::<AuthService>();
        api.patch_scale(NAME, &PatchParams::default(), &patch).await.expect("it is scaled");
        fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(replicas)).await;
        wait_for(fixture.api::<AuthService>(), NAME, |object| {
            let status = object.and_then(|object| object.status.as_ref()).ok_or("no status")?;
            let counts = (status.replicas, status.ready_replicas);
            (counts == (replicas, replicas)).then_some(()).ok_or_else(|| format!("{counts:?}"))
        })
        .await;
    };
    scale(2).await;
    fixture.wait_for_value("PodDisruptionBudget", NAME, "/spec/maxUnavailable", &json!(1)).await;
    // The scale subresource, which an autoscaler reads.
    let now = fixture.api::<AuthService>().get_scale(NAME).await.expect("the scale");
    let status = now.status.expect("a status");
    assert_eq!(status.replicas, 2);
    let selector = status.selector.expect("a selector");
    let pods = fixture.any("Pod").list(&kube::api::ListParams::default().labels(&selector)).await;
    assert_eq!(pods.expect("pods").items.len(), 2, "{selector} selects the server's pods");

    scale(1).await;
    fixture.wait_until_gone("PodDisruptionBudget", NAME).await;
    fixture.wait_for_condition("Ready", "True").await;
}

//! The registry and the pull secrets of an installation apply to all pods.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::fixture::Fixture;

#[tokio::test]
async fn every_image_is_pulled_from_the_registry_with_the_pull_secrets() {
    let values = ["image.registry=registry.example.com/mirror", "imagePullSecrets[0].name=pull"];
    let fixture = Fixture::with_values("registry", &values).await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"image": {"pullSecrets": [{"name": "own"}, {"name": "pull"}]}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let pods = fixture.api::<Pod>().list(&ListParams::default()).await.expect("pods").items;
    let mut images = Vec::new();
    for pod in &pods {
        let spec = pod.spec.as_ref().expect("a spec");
        assert_eq!(json!(spec.image_pull_secrets), json!([{"name": "own"}, {"name": "pull"}]));
        images.extend(spec.containers.iter().filter_map(|container| container.image.clone()));
    }
    images.sort();
    images.dedup();
    let paths: Vec<_> =
        images.iter().filter_map(|image| image.strip_prefix("registry.example.com/mirror/")).collect();
    assert_eq!(paths.len(), images.len(), "{images:?}");
    for path in ["latchkey-dev/latchkey-server:", "library/postgres:", "valkey/valkey:"] {
        assert!(paths.iter().any(|found| found.starts_with(path)), "{path} in {paths:?}");
    }
    assert_eq!(pods.len(), 4, "the server, its migration and two stores");

    // A repository that names its registry was chosen by a user.
    for (repository, expected) in [
        ("other.example/team/server", "other.example/team/server:1"),
        ("team/server", "registry.example.com/mirror/team/server:1"),
    ] {
        fixture.merge(json!({"spec": {"image": {"repository": repository, "tag": "1"}}})).await;
        let pointer = "/spec/template/spec/containers/0/image";
        fixture.wait_for_value("Deployment", crate::fixture::NAME, pointer, &Value::from(expected)).await;
    }
}

//! Creation of an AuthService.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::fixture::{Fixture, NAME};

#[tokio::test]
async fn an_empty_spec_creates_all_objects() {
    let fixture = Fixture::new("create").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;

    let owned = fixture.owned().await;
    let mut names: Vec<String> = owned.keys().cloned().collect();
    // The name of the Job ends with a hash of the image and the database.
    for name in &mut names {
        if name.starts_with("Job/auth-migrate-") {
            "Job/auth-migrate-HASH".clone_into(name);
        }
    }
    assert_eq!(
        names,
        [
            "ConfigMap/auth-jwks",
            "ConfigMap/auth-settings",
            "Deployment/auth",
            "Job/auth-migrate-HASH",
            "Secret/auth-jwt-keys",
            "Secret/auth-postgres",
            "Secret/auth-redis",
            "Service/auth",
            "Service/auth-management",
            "Service/auth-postgres",
            "Service/auth-redis",
            "ServiceAccount/auth",
            "ServiceMonitor/auth",
            "StatefulSet/auth-postgres",
            "StatefulSet/auth-redis",
        ]
    );
    let auth_service = fixture.auth_service().await;
    for (name, object) in &owned {
        let labels = object.labels();
        assert_eq!(labels["app.kubernetes.io/name"], "latchkey", "{name}");
        assert_eq!(labels["app.kubernetes.io/instance"], NAME, "{name}");
        assert_eq!(labels["app.kubernetes.io/managed-by"], "latchkey-operator", "{name}");
        assert!(labels.contains_key("app.kubernetes.io/component"), "{name}");
        let [reference] = object.owner_references() else { panic!("{name} has one owner") };
        assert_eq!(reference.controller, Some(true), "{name}");
        assert_eq!(Some(&reference.uid), auth_service.metadata.uid.as_ref(), "{name}");
    }
}

/// The namespace enforces `restricted`: a pod that violates it would not exist.
#[tokio::test]
async fn every_pod_passes_pod_security_restricted() {
    let fixture = Fixture::new("restricted").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"database": {"embedded": {"storage": "1Gi"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;

    let pods = fixture.api::<Pod>().list(&ListParams::default()).await.expect("pods");
    let mut components: Vec<&str> =
        pods.iter().map(|pod| pod.labels()["app.kubernetes.io/component"].as_str()).collect();
    components.sort_unstable();
    assert_eq!(components, ["migration", "postgres", "redis", "server"]);
    for pod in &pods {
        let spec = pod.spec.as_ref().expect("a spec");
        assert_eq!(spec.automount_service_account_token, Some(false), "{}", pod.name_any());
        for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
            let context = container.security_context.as_ref().expect("a security context");
            assert_eq!(context.read_only_root_filesystem, Some(true), "{}", pod.name_any());
            let resources = container.resources.as_ref().expect("resources");
            assert!(resources.requests.is_some() && resources.limits.is_some(), "{}", pod.name_any());
        }
    }
}

#[tokio::test]
async fn the_deployment_waits_for_the_database_and_its_schema() {
    let fixture = Fixture::new("order").await;
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    // No pods are started yet, so that the embedded database is not ready.
    fixture.wait_for_reason("Ready", "False", "WaitingForDatabase").await;
    fixture.wait_for_reason("SchemaMigrated", "False", "WaitingForDatabase").await;
    fixture.wait_for_condition("Progressing", "True").await;
    let deployments = fixture.api::<Deployment>();
    assert!(deployments.get_opt(NAME).await.expect("a response").is_none());

    let _kubelet = fixture.start_kubelet();
    fixture.wait_for_condition("SchemaMigrated", "True").await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    assert!(deployments.get_opt(NAME).await.expect("a response").is_some());
}

//! Each sample in `docs/samples` is one that works.

use std::fs;

use latchkey_tests::{chart, programs};
use serde_json::Value;

use crate::fixture::{Fixture, NAME};

/// The Secrets that the samples' comments ask for.
const SECRETS: [(&str, &[(&str, &str)]); 5] = [
    ("auth-database", &[("url", "postgres://auth:x@db.example.com:5432/auth?sslmode=verify-full")]),
    ("auth-cache", &[("url", "rediss://:x@cache.example.com:6380")]),
    ("auth-mail", &[("username", "mailer"), ("password", "x")]),
    ("auth-admin", &[("username", "admin"), ("email", "admin@example.com"), ("password", "correct horse")]),
    ("auth-db-app", &[("uri", "postgresql://auth:x@auth-db-rw.apps:5432/auth")]),
];

async fn applied(sample: &str) -> Fixture {
    let fixture =
        Fixture::new(&format!("sample-{}", sample.trim_end_matches(".yaml").replace('/', "-"))).await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let text =
        fs::read_to_string(programs::workspace().join("docs/samples").join(sample)).expect("the sample");
    for (name, data) in SECRETS.iter().filter(|(name, _)| text.contains(name)) {
        fixture.apply_secret(name, data).await;
    }
    let objects = chart::parse(&text);
    let specs: Vec<&Value> = objects
        .iter()
        .filter(|object| object["kind"] == "AuthService")
        .map(|object| &object["spec"])
        .collect();
    let [spec] = specs[..] else { panic!("{sample} has one AuthService") };
    // Strictly: a field that the kind does not have is an error.
    fixture.apply(spec.clone()).await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture
}

#[tokio::test]
async fn the_smallest_one_serves() {
    applied("smallest.yaml").await;
}

#[tokio::test]
async fn the_production_one_has_everything_it_names() {
    let fixture = applied("production.yaml").await;
    for kind in ["Ingress", "Certificate", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget"]
    {
        assert!(fixture.any(kind).get_opt(NAME).await.expect("an answer").is_some(), "{kind}");
    }
}

#[tokio::test]
async fn the_one_for_cloudnativepg_takes_its_uri() {
    let fixture = applied("cloudnativepg.yaml").await;
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert!(deployment.data.to_string().contains("auth-db-app"));
}

#[tokio::test]
async fn the_one_for_a_gateway_has_a_route() {
    let fixture = applied("gateway-api.yaml").await;
    assert!(fixture.any("HTTPRoute").get_opt(NAME).await.expect("an answer").is_some());
}

#[tokio::test]
async fn the_one_for_gitops_is_built_by_kustomize_and_serves() {
    let fixture = applied("gitops/auth-service.yaml").await;
    let folder = programs::workspace().join("docs/samples/gitops");
    let folder = folder.to_str().expect("a text");
    let rendered = fixture.control_plane.kubectl(&["kustomize", folder]);
    assert_eq!(chart::parse(&rendered).len(), 1);
    // Applied again, as such tools do all the time, it changes nothing.
    let before = fixture.auth_service().await.metadata.generation;
    let arguments = ["-n", &fixture.namespace, "apply", "--server-side", "--force-conflicts", "-k", folder];
    fixture.control_plane.kubectl(&arguments);
    assert_eq!(fixture.auth_service().await.metadata.generation, before);
}

//! Every sample in `docs/samples` works.

use std::collections::BTreeMap;
use std::fs;

use latchkey_tests::control_plane::{ControlPlane, sample_crds};
use latchkey_tests::{chart, programs};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::client_fixture::{load, wait_for_entry, wait_until_ready};
use crate::fixture::{Fixture, NAME};

/// The Secrets that the comments of the samples require.
const SECRETS: [(&str, &[(&str, &str)]); 7] = [
    ("auth-database", &[("url", "postgres://auth:x@db.example.com:5432/auth?sslmode=verify-full")]),
    ("auth-cache", &[("url", "rediss://:x@cache.example.com:6380")]),
    ("auth-mail", &[("username", "mailer"), ("password", "x")]),
    ("auth-admin", &[("username", "admin"), ("email", "admin@example.com"), ("password", "correct horse")]),
    ("auth-db-ca", &[("ca.crt", include_str!("../../operator/src/auth_service/fixtures/certificate.pem"))]),
    (
        "auth-stores-client",
        &[
            ("tls.crt", include_str!("../../operator/src/auth_service/fixtures/certificate.pem")),
            ("tls.key", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"),
        ],
    ),
    ("auth-db-app", &[("uri", "postgresql://auth:x@auth-db-rw.apps:5432/auth")]),
];

async fn applied(sample: &str) -> Fixture {
    let fixture =
        Fixture::new(&format!("sample-{}", sample.trim_end_matches(".yaml").replace('/', "-"))).await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let (path, objects) = read(&fixture, sample);
    let text = serde_json::to_string(&objects).expect("JSON");
    for (name, data) in SECRETS.iter().filter(|(name, _)| text.contains(name)) {
        fixture.apply_secret(name, data).await;
    }
    apply(&fixture, &path);
    fixture.wait_for_condition("Ready", "True").await;
    fixture
}

/// The path of a sample for kubectl, and its content. A path without a file name is a kustomization.
fn read(fixture: &Fixture, sample: &str) -> ([String; 2], Vec<Value>) {
    let path = programs::workspace().join("docs/samples").join(sample);
    let name = path.to_str().expect("a text").to_owned();
    if path.is_dir() {
        let rendered = fixture.control_plane.kubectl(&["kustomize", &name]);
        return (["--kustomize".to_owned(), name], chart::parse(&rendered));
    }
    let text = fs::read_to_string(&path).expect("the sample");
    (["--filename".to_owned(), name], chart::parse(&text))
}

/// Strict: an unknown field is an error.
fn apply(fixture: &Fixture, path: &[String; 2]) {
    let namespace = fixture.namespace.as_str();
    let arguments = ["-n", namespace, "apply", "--server-side", "--validate=strict", &path[0], &path[1]];
    fixture.control_plane.kubectl(&arguments);
}

/// The third-party kinds in the samples.
async fn install_third_party_kinds(control_plane: &ControlPlane) {
    static DONE: OnceCell<()> = OnceCell::const_new();
    DONE.get_or_init(|| async {
        for crd in sample_crds() {
            control_plane.apply_crd(&crd).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_smallest_sample_becomes_ready() {
    applied("smallest.yaml").await;
}

#[tokio::test]
async fn the_production_sample_has_all_its_objects() {
    let fixture = applied("production.yaml").await;
    for kind in ["Ingress", "Certificate", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget"]
    {
        assert!(fixture.any(kind).get_opt(NAME).await.expect("a response").is_some(), "{kind}");
    }
}

#[tokio::test]
async fn the_cloudnativepg_sample_uses_the_secret_of_the_cluster() {
    install_third_party_kinds(ControlPlane::shared().await).await;
    let fixture = applied("cloudnativepg.yaml").await;
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert!(deployment.data.to_string().contains("auth-db-app"));
    let cluster = fixture.control_plane.kubectl(&["-n", &fixture.namespace, "get", "cluster", "-o", "name"]);
    assert_eq!(cluster.trim(), "cluster.postgresql.cnpg.io/auth-db");
}

#[tokio::test]
async fn the_sample_with_client_certificates_mounts_them_in_server_and_migration() {
    let fixture = applied("client-certificates.yaml").await;
    let owned = fixture.owned().await;
    for kind in ["Deployment/", "Job/"] {
        let (_, object) = owned.iter().find(|(name, _)| name.starts_with(kind)).expect(kind);
        let pod = object.data["spec"]["template"]["spec"].to_string();
        assert!(pod.contains("auth-stores-client"), "{pod}");
        assert!(pod.contains(r#""mountPath":"/etc/latchkey/database-client""#), "{pod}");
    }
    let file = serde_json::json!("/etc/latchkey/database-client/tls.crt");
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/DATABASE_CLIENT_CERT_FILE", &file).await;
    let size = serde_json::json!("10");
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/DATABASE_POOL_SIZE", &size).await;
}

#[tokio::test]
async fn the_sample_of_a_client_is_registered() {
    let fixture = Fixture::new("sample-auth-client").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(serde_json::json!({})).await;
    let (path, _) = read(&fixture, "auth-client.yaml");
    apply(&fixture, &path);
    wait_for_entry(&fixture, "orders").await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
}

#[tokio::test]
async fn the_workloads_of_the_sample_are_registered() {
    let fixture = Fixture::new("sample-workload-identity").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(serde_json::json!({"workloadIdentity": {"enabled": true}})).await;
    let (path, objects) = read(&fixture, "workload-identity.yaml");
    assert!(objects.iter().all(|object| object["kind"] != "Secret"));
    apply(&fixture, &path);
    for id in ["shop", "stock"] {
        wait_for_entry(&fixture, id).await;
    }
    load(&fixture).await;
    for name in ["shop", "stock"] {
        wait_until_ready(&fixture, name).await;
    }
}

#[tokio::test]
async fn the_gateway_sample_has_a_route() {
    let fixture = applied("gateway-api.yaml").await;
    assert!(fixture.any("HTTPRoute").get_opt(NAME).await.expect("a response").is_some());
}

#[tokio::test]
async fn the_gitops_sample_is_built_by_kustomize_and_becomes_ready() {
    install_third_party_kinds(ControlPlane::shared().await).await;
    let fixture = applied("gitops").await;
    let (path, objects) = read(&fixture, "gitops");
    assert_eq!(objects.len(), 3);
    // External Secrets is configured to create each referenced Secret with its key.
    let made: BTreeMap<_, _> = objects
        .iter()
        .filter(|object| object["kind"] == "ExternalSecret")
        .map(|secret| (secret["spec"]["target"]["name"].as_str(), &secret["spec"]["data"][0]["secretKey"]))
        .collect();
    let spec =
        &objects.iter().find(|object| object["kind"] == "AuthService").expect("an AuthService")["spec"];
    for store in ["database", "redis"] {
        assert_eq!(*made[&spec[store]["urlSecretRef"]["name"].as_str()], "url", "{made:?}");
    }
    // Applying it again, as GitOps tools do, changes nothing.
    let before = fixture.auth_service().await.metadata.generation;
    apply(&fixture, &path);
    assert_eq!(fixture.auth_service().await.metadata.generation, before);
}

//! A cluster in which the optional kinds are installed later, with one operator for all namespaces.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::{
    Contents, ControlPlane, FIELD_MANAGER, apply, auth_service_crd, optional_crds,
};
use latchkey_tests::operator::{Installation, Operator};
use serde_json::{Value, json};

use crate::fixture::{NAME, condition};
use crate::waiting::wait_for;

const NAMESPACES: [&str; 2] = ["team-a", "team-b"];
/// Group, kind and definition.
const KINDS: [(&str, &str, &str); 3] = [
    ("monitoring.coreos.com", "ServiceMonitor", "servicemonitors.monitoring.coreos.com"),
    ("gateway.networking.k8s.io", "HTTPRoute", "httproutes.gateway.networking.k8s.io"),
    ("cert-manager.io", "Certificate", "certificates.cert-manager.io"),
];

fn any(client: &Client, namespace: &str, group: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

async fn apply_service(client: &Client, namespace: &str, database: &str) {
    let secret = |name: &str, url: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "stringData": {"url": url},
        })
    };
    apply(client, &secret("database", database)).await;
    apply(client, &secret("redis", "redis://cache.example.com")).await;
    let object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": NAME},
        "spec": {
            "issuer": "https://auth.example.com",
            "database": {"urlSecretRef": {"name": "database"}},
            "redis": {"urlSecretRef": {"name": "redis"}},
            "exposure": {"gateway": {
                "parentRefs": [{"name": "public"}], "hostnames": ["auth.example.com"],
                "certificate": {"issuerRef": {"name": "ca"}},
            }},
        },
    });
    let api: Api<AuthService> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(NAME, &parameters, &Patch::Apply(object)).await.expect("the AuthService");
}

async fn wait_for_reason(client: &Client, namespace: &str, kind: &str, status: &str, reason: &str) -> String {
    let api: Api<AuthService> = Api::namespaced(client.clone(), namespace);
    wait_for(api, NAME, |object| {
        let found = object.and_then(|object| condition(object, kind)).ok_or("no condition")?;
        let fits = found.status == status && found.reason == reason;
        fits.then(|| found.message.clone()).ok_or_else(|| format!("{found:?}, not {status} {reason}"))
    })
    .await
}

/// Log lines of the levels WARN and ERROR.
fn warnings(operator: &Operator) -> Vec<String> {
    let log = operator.log();
    let lines = log.lines().filter(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        line["level"] == "WARN" || line["level"] == "ERROR"
    });
    lines.map(str::to_owned).collect()
}

/// Triggers a reconcile of each AuthService.
async fn reconcile_again(client: &Client, operator: &Operator) {
    let before = operator.metric("latchkey_operator_reconcile_total", &[]).await;
    let touch = json!({"metadata": {"annotations": {"touched": uuid::Uuid::new_v4().to_string()}}});
    for namespace in NAMESPACES {
        let api: Api<AuthService> = Api::namespaced(client.clone(), namespace);
        api.patch(NAME, &PatchParams::default(), &Patch::Merge(&touch)).await.expect("it is touched");
    }
    operator.wait_for_reconciles(before + 1.0).await;
}

#[tokio::test]
async fn optional_kinds_can_be_installed_and_removed_without_a_restart() {
    let control_plane = ControlPlane::start(Contents { crds: &[auth_service_crd()], controllers: &[] }).await;
    let client = control_plane.client().await;
    let installation = Installation::new(&control_plane, "latchkey-system", &[]).await;
    let mut operator = installation.start("operator-0");
    operator.wait_until_ready().await;
    for (namespace, database) in NAMESPACES.into_iter().zip(["first", "second"]) {
        apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
            .await;
        apply_service(&client, namespace, &format!("postgres://a:b@db.example.com/{database}")).await;
    }
    let crds = optional_crds();
    for round in 0..2 {
        for namespace in NAMESPACES {
            let missing = "ServiceMonitorKindMissing";
            wait_for_reason(&client, namespace, "MonitoringConfigured", "False", missing).await;
            wait_for_reason(&client, namespace, "Exposed", "False", "HTTPRouteKindMissing").await;
            wait_for_reason(&client, namespace, "CertificateValid", "False", "CertificateKindMissing").await;
        }
        // A missing kind causes no failure and no log line, regardless of the number of reconciles.
        let before = warnings(&operator);
        let failures = operator.metric("latchkey_operator_reconcile_total", &[r#"outcome="error""#]).await;
        reconcile_again(&client, &operator).await;
        reconcile_again(&client, &operator).await;
        assert_eq!(warnings(&operator), before);
        let now = operator.metric("latchkey_operator_reconcile_total", &[r#"outcome="error""#]).await;
        assert!((now - failures).abs() < f64::EPSILON, "{now} failures, {failures} before");
        // A watch or a write may fail once while the kind is removed.
        assert!(before.len() <= 12 * round, "{before:#?}");

        for crd in [&crds[0], &crds[2], &crds[3]] {
            control_plane.apply_crd(crd).await;
        }
        for namespace in NAMESPACES {
            wait_for_reason(&client, namespace, "MonitoringConfigured", "True", "ServiceMonitorApplied")
                .await;
            wait_for_reason(&client, namespace, "Exposed", "False", "CertificateNotReady").await;
            for (group, kind, _) in KINDS {
                let made = any(&client, namespace, group, kind).get(NAME).await.expect(kind);
                assert_eq!(made.labels()["app.kubernetes.io/instance"], NAME, "{namespace}: {kind}");
            }
        }
        if round == 0 {
            let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
            for (_, _, definition) in KINDS {
                definitions.delete(definition, &DeleteParams::default()).await.expect("it is deleted");
            }
        }
    }

    // One database in two namespaces. Its fully qualified name is the same everywhere; the older AuthService has
    // precedence.
    let (first, second) = by_age(&client).await;
    let other = "postgres://other:s3cr3t@DB.example.com:5432/shared";
    apply_service(&client, first, "postgres://a:b@db.example.com/shared").await;
    apply_service(&client, second, other).await;
    let message = wait_for_reason(&client, second, "DatabaseShared", "True", "DatabaseShared").await;
    assert!(!message.contains(first) && !message.contains("s3cr3t"), "{message}");
    wait_for_reason(&client, second, "Ready", "False", "DatabaseShared").await;
    wait_for_reason(&client, first, "DatabaseShared", "False", "Exclusive").await;
    // The short name of a Service is different in each namespace.
    for namespace in NAMESPACES {
        apply_service(&client, namespace, "postgres://a:b@db/auth").await;
    }
    wait_for_reason(&client, second, "DatabaseShared", "False", "Exclusive").await;
    let full = format!("postgres://a:b@db.{first}.svc.cluster.local/auth");
    apply_service(&client, second, &full).await;
    wait_for_reason(&client, second, "DatabaseShared", "True", "DatabaseShared").await;
    // It continues automatically when the first one releases the database.
    let api: Api<AuthService> = Api::namespaced(client.clone(), first);
    api.delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
    wait_for_reason(&client, second, "DatabaseShared", "False", "Exclusive").await;
}

/// The namespaces by the age of their AuthServices; the uid is the tie-breaker.
async fn by_age(client: &Client) -> (&'static str, &'static str) {
    let mut found = Vec::new();
    for namespace in NAMESPACES {
        let api: Api<AuthService> = Api::namespaced(client.clone(), namespace);
        let service = api.get(NAME).await.expect("the AuthService");
        found.push((service.creation_timestamp().map(|time| time.0), service.uid(), namespace));
    }
    found.sort();
    (found[0].2, found[1].2)
}

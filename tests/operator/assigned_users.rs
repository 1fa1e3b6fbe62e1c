//! Clusters whose admission assigns the user of every pod, such as OpenShift: `restricted-v2` refuses a pod that names a user
//! outside the range of its namespace, and sets one in a pod that names none.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use latchkey_tests::control_plane::apply;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::Fixture;

/// The first user of the namespace's range.
const FIRST: i64 = 1_000_700_000;

/// Installs policies that do what `restricted-v2` does with users and groups.
async fn assign_users(fixture: &Fixture) {
    let name = format!("latchkey-{}", fixture.namespace);
    let constraints = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": fixture.namespace}},
        "resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
        }],
    });
    let validations = ["runAsUser", "fsGroup"].map(|field| {
        let expression = format!(
            "has(object.spec.securityContext.{field}) && object.spec.securityContext.{field} >= {FIRST}"
        );
        json!({"expression": expression, "message": format!("{field} must be in the range of the namespace")})
    });
    let policies: [(&str, Value, Value); 2] = [
        (
            "Mutating",
            json!({
                "matchConstraints": constraints,
                "matchConditions": [{"name": "unset", "expression": "!has(object.spec.securityContext.runAsUser)"}],
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": format!(
                    "Object{{spec: Object.spec{{securityContext: Object.spec.securityContext{{runAsUser: {FIRST}, fsGroup: {FIRST}}}}}}}"
                )}}],
            }),
            json!({"policyName": name}),
        ),
        (
            "Validating",
            json!({
                "matchConstraints": constraints,
                "failurePolicy": "Fail",
                "validations": validations,
            }),
            json!({"policyName": name, "validationActions": ["Deny"]}),
        ),
    ];
    for (kind, policy, binding) in policies {
        let object = |suffix: &str, spec: &Value| {
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": format!("{kind}AdmissionPolicy{suffix}"),
                "metadata": {"name": name},
                "spec": spec,
            })
        };
        apply(&fixture.client, &object("", &policy)).await;
        apply(&fixture.client, &object("Binding", &binding)).await;
    }
    // The API server takes a moment to load the policies.
    let pods = fixture.api::<Pod>();
    let probe = |context: Value| {
        serde_json::from_value::<Pod>(json!({
            "metadata": {"name": "probe"},
            "spec": {"securityContext": context, "containers": [{"name": "c", "image": "example.com/c"}]},
        }))
        .expect("a Pod")
    };
    let dry_run = kube::api::PostParams { dry_run: true, ..Default::default() };
    wait::until("the policies to be in force", async || {
        let pinned = pods.create(&dry_run, &probe(json!({"runAsUser": 1, "fsGroup": 1}))).await;
        let assigned = pods.create(&dry_run, &probe(json!({}))).await;
        wait::check(pinned.is_err() && assigned.is_ok(), (pinned.err(), assigned.err()))
    })
    .await;
}

#[tokio::test]
async fn every_pod_leaves_its_user_to_the_cluster_if_the_installation_says_so() {
    let fixture = Fixture::new("assigned-users").await;
    let _kubelet = fixture.start_kubelet();
    assign_users(&fixture).await;
    let _operator = fixture.start_operator_with(&["--assign-pod-users=false"]).await;
    // With embedded stores, so that every kind of pod is created.
    fixture.apply(json!({"replicas": 2, "database": {"embedded": {"storage": "1Gi"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let pods = fixture.api::<Pod>().list(&ListParams::default()).await.expect("pods").items;
    assert_eq!(pods.len(), 5, "two servers, a migration and two stores");
    for pod in pods {
        let context = pod.spec.expect("a spec").security_context.expect("a security context");
        assert_eq!((context.run_as_user, context.fs_group), (Some(FIRST), Some(FIRST)));
        assert_eq!((context.run_as_group, context.run_as_non_root), (None, Some(true)));
    }
}

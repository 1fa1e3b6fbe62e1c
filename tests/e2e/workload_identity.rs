//! Workload identity on a real node: the kubelet mounts the token, and a pod that is deleted in mid-use loses its access.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::DeleteParams;
use latchkey_tests::app::path;
use latchkey_tests::client_keys::assertion_form;
use latchkey_tests::cluster::note;
use latchkey_tests::control_plane::apply;
use latchkey_tests::logs::leak;
use serde_json::{Value, json};

use crate::client::{Client, Request, url_of};
use crate::namespace::{NAME, Namespace};
use crate::oauth_clients::wait_until_ready;
use crate::stores;

/// The ClusterRole and its binding, which the chart creates with `workloadIdentity.authServices`.
const ROLE: &str = "e2e-token-review";
/// Within this time a deleted pod has no access any more.
const LATEST_END: Duration = Duration::from_secs(10);

async fn permit(namespace: &Namespace) {
    let rules =
        json!([{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]);
    let (group, version) = ("rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1");
    let metadata = json!({"name": ROLE});
    for object in [
        json!({"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": rules}),
        json!({
            "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": ROLE},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace.name}],
        }),
    ] {
        apply(&namespace.client, &object).await;
    }
}

/// A pod with the ServiceAccount `orders`, whose token for the issuer the kubelet mounts.
fn pod(namespace: &Namespace, name: &str, issuer: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "serviceAccountName": "orders",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "main",
                "image": namespace.cluster.images.client,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "1000000"],
                "volumeMounts": [{"name": "identity", "mountPath": "/var/run/identity", "readOnly": true}],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                },
            }],
            "volumes": [{"name": "identity", "projected": {"sources": [{
                "serviceAccountToken": {"audience": issuer, "expirationSeconds": 3600, "path": "token"},
            }]}}],
        },
    })
}

fn token_request(base: &str, assertion: &str) -> Request {
    let request = Request::post(format!("{base}{}", path::TOKEN)).field("grant_type", "client_credentials");
    assertion_form(assertion).into_iter().fold(request, |request, (name, value)| request.field(name, value))
}

#[tokio::test]
async fn a_pod_that_is_deleted_in_mid_use_loses_its_access() {
    let namespace = Namespace::new("workload-identity").await;
    let _stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    let mut spec = stores::spec(2);
    spec["workloadIdentity"] = json!({"enabled": true});
    spec["networkPolicy"] = json!({"enabled": true});
    namespace.bring_up("workload identity, 2 replicas", spec).await;
    namespace.wait_for_condition("WorkloadIdentityReady", "False").await;
    permit(&namespace).await;
    namespace.wait_for_condition("WorkloadIdentityReady", "True").await;

    let issuer = format!("http://{NAME}.{}.svc", namespace.name);
    namespace
        .apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "orders"}}))
        .await;
    namespace
        .apply(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient", "metadata": {"name": "orders"},
            "spec": {
                "authServiceRef": {"name": NAME}, "clientId": "orders", "type": "workload",
                "serviceAccounts": [{"name": "orders"}], "scopes": ["orders:read"],
            },
        }))
        .await;
    wait_until_ready(&namespace, "orders").await;
    for name in ["orders-1", "orders-2"] {
        namespace.apply(pod(&namespace, name, &issuer)).await;
    }
    let mut assertions = Vec::new();
    for name in ["orders-1", "orders-2"] {
        namespace.wait_for_pod(name).await;
        assertions.push(namespace.kubectl(&["exec", name, "--", "cat", "/var/run/identity/token"]));
    }
    let pods = namespace.wait_for_server_pods(2, &[]).await;
    let bases: Vec<String> = pods
        .iter()
        .filter_map(|pod| pod.status.as_ref()?.pod_ip.as_ref())
        .map(|address| url_of(address, 8080))
        .collect();
    let tokens: Vec<String> = assertions
        .iter()
        .map(|assertion| {
            let answer = client.send(&token_request(&bases[0], assertion)).ok(200);
            answer["access_token"].as_str().expect("a token").to_owned()
        })
        .collect();
    let verify = |token: &str| -> Vec<u16> {
        let request = |base: &String| Request::get(format!("{base}{}", path::VERIFY)).bearer(token);
        client.statuses(&bases.iter().map(request).collect::<Vec<_>>())
    };
    for token in &tokens {
        assert_eq!(verify(token), [200, 200]);
    }

    namespace.remove_pod("orders-1").await;
    let deleted = Instant::now();
    while verify(&tokens[0]) != [401, 401] {
        assert!(deleted.elapsed() <= LATEST_END, "the token of a deleted pod is still accepted");
    }
    note(&format!("a deleted pod loses its access after {:.1} s", deleted.elapsed().as_secs_f64()));
    assert_eq!(client.send(&token_request(&bases[1], &assertions[0])).status, 401);
    assert_eq!(verify(&tokens[1]), [200, 200]);

    namespace
        .api::<ServiceAccount>()
        .delete("orders", &DeleteParams::default())
        .await
        .expect("it is deleted");
    let deleted = Instant::now();
    while verify(&tokens[1]) != [401, 401] {
        assert!(deleted.elapsed() <= LATEST_END, "the token of a deleted ServiceAccount is still accepted");
    }
    for line in namespace.server_log().lines() {
        assert_eq!(leak(line), None, "the log contains a secret: {line}");
        assert!(!assertions.iter().any(|assertion| line.contains(assertion.as_str())), "a token is logged");
    }
    let bindings: Api<ClusterRoleBinding> = Api::all(namespace.client.clone());
    bindings.delete(ROLE, &DeleteParams::default()).await.expect("it is deleted");
    let roles: Api<ClusterRole> = Api::all(namespace.client.clone());
    roles.delete(ROLE, &DeleteParams::default()).await.expect("it is deleted");
}

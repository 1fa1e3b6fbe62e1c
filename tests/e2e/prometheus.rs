//! A real Prometheus, run by the real Prometheus Operator in the test's namespace.

use http::Request;
use k8s_openapi::api::core::v1::{Namespace as CoreNamespace, Pod};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::namespace::{Namespace, is_ready};
use crate::release::SYSTEM;
use crate::waiting::wait_for;

/// The pod that the Prometheus Operator creates for the Prometheus named `e2e`.
const POD: &str = "prometheus-e2e-0";

/// The API of the Prometheus in a namespace.
pub struct Prometheus<'a> {
    namespace: &'a Namespace,
}

/// Starts the Prometheus Operator, without waiting for it.
pub async fn start_operator(namespace: &Namespace, image: &str) {
    let name = &namespace.name;
    let core: Api<CoreNamespace> = Api::all(namespace.client.clone());
    let owner = core.get(name).await.expect("the namespace").uid();
    namespace
        .apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "prometheus"}}))
        .await;
    // It is not in a namespace, but is deleted with this one.
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {
            "name": name,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Namespace", "name": name, "uid": owner}],
        },
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "prometheus", "namespace": name}],
    });
    latchkey_tests::control_plane::apply(&namespace.client, &binding).await;
    let container = json!({
        "name": "operator",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["prometheus-operator"],
        "args": [
            format!("--namespaces={name},{SYSTEM}"),
            format!("--prometheus-config-reloader={image}"),
            // On a busy machine the default of 10m cores takes a minute to start.
            "--config-reloader-cpu-limit=0",
            "--config-reloader-memory-limit=0",
        ],
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
    });
    namespace
        .apply(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "prometheus-operator"},
            "spec": {
                "serviceAccountName": "prometheus",
                "terminationGracePeriodSeconds": 0,
                "securityContext": pod_security(),
                "containers": [container],
            },
        }))
        .await;
}

fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

impl<'a> Prometheus<'a> {
    /// Starts it and waits until it is ready. Its configuration contains all existing monitors and rules; the kubelet
    /// updates the mounted Secret for later ones within a minute.
    pub async fn start(namespace: &'a Namespace, image: &str) -> Self {
        let reloader = json!(["prometheus-config-reloader"]);
        namespace
            .apply(json!({
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "Prometheus",
                "metadata": {"name": "e2e"},
                "spec": {
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "version": "v3.16.0",
                    "serviceAccountName": "prometheus",
                    "securityContext": pod_security(),
                    "scrapeInterval": "1s",
                    "evaluationInterval": "1s",
                    "serviceMonitorSelector": {},
                    "serviceMonitorNamespaceSelector": {},
                    "ruleSelector": {},
                    "ruleNamespaceSelector": {},
                    // All containers have the same image, so that each needs its command.
                    "containers": [
                        {"name": "prometheus", "command": ["prometheus"]},
                        {"name": "config-reloader", "command": reloader},
                    ],
                    "initContainers": [{"name": "init-config-reloader", "command": reloader}],
                },
            }))
            .await;
        let pods = namespace.api::<Pod>();
        wait_for("Prometheus to be ready", async || match pods.get_opt(POD).await {
            Ok(Some(pod)) if is_ready(&pod) => Ok(()),
            Ok(Some(pod)) => Err(format!("{:?}", pod.status)),
            Ok(None) => Err("the Prometheus Operator has not created the pod".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await;
        Self { namespace }
    }

    /// The `data` in the response to a path of the API.
    ///
    /// # Errors
    /// When there is no response, or it is an error.
    pub async fn get(&self, path_and_query: &str) -> Result<Value, String> {
        let name = &self.namespace.name;
        let path = format!("/api/v1/namespaces/{name}/pods/{POD}:9090/proxy/api/v1/{path_and_query}");
        let request = Request::get(path).body(Vec::new()).map_err(|e| e.to_string())?;
        let answer: Value = self.namespace.client.request(request).await.map_err(|e| e.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer.to_string()) }
    }

    /// The current series of an expression.
    ///
    /// # Errors
    /// When there are none, or the expression is invalid.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let encoded: String =
            expression.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).map(char::from).collect();
        let data = self.get(&format!("query?query={encoded}")).await?;
        match data["result"].as_array() {
            Some(series) if !series.is_empty() => Ok(series.clone()),
            _ => Err("no series".to_owned()),
        }
    }
}

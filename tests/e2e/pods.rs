//! Pods that the tests run, compliant with Pod Security `restricted`.

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::namespace::{Namespace, is_ready};
use crate::waiting::wait_for;

impl Namespace {
    /// Runs a container in a pod of this name, and creates a Service of the same name for its port. The pod has a
    /// writable `/tmp`, and, if `secret` is set, the Secret of the same name at `/secrets`.
    pub async fn run(&self, name: &str, mut container: Value, port: Option<u16>, secret: bool) {
        let mut mounts = vec![json!({"name": "tmp", "mountPath": "/tmp"})];
        let mut volumes = vec![json!({"name": "tmp", "emptyDir": {}})];
        if secret {
            mounts.push(json!({"name": "secrets", "mountPath": "/secrets"}));
            volumes.push(json!({"name": "secrets", "secret": {"secretName": name, "defaultMode": 0o440}}));
        }
        container["name"] = json!(name);
        // Without a request the pod gets hardly any time while others use all cores, as the servers do when they start.
        container["resources"] = json!({"requests": {"cpu": "50m"}});
        container["imagePullPolicy"] = json!("IfNotPresent");
        container["volumeMounts"] = json!(mounts);
        container["securityContext"] = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        if let Some(port) = port {
            self.apply(json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": {"e2e": name}, "ports": [{"port": port}]},
            }))
            .await;
        }
        self.apply(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"e2e": name}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": 20001,
                    "runAsGroup": 20001,
                    "fsGroup": 20001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
                "volumes": volumes,
            },
        }))
        .await;
    }

    /// Waits until a pod is ready.
    pub async fn wait_for_pod(&self, name: &str) {
        let api = self.api::<Pod>();
        wait_for(&format!("the pod {name}"), async || {
            let pod = api.get(name).await.map_err(|e| e.to_string())?;
            if is_ready(&pod) { Ok(()) } else { Err(format!("{:?}", pod.status)) }
        })
        .await;
    }

    /// Deletes a pod and waits until it is gone.
    pub async fn remove_pod(&self, name: &str) {
        let api = self.api::<Pod>();
        api.delete(name, &DeleteParams::default().grace_period(0)).await.expect("the pod is deleted");
        wait_for(&format!("the pod {name} to be deleted"), async || match api.get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("it is still there".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }
}

//! The objects that an archive contains.

use kube::Resource;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::pods::selector;

/// Group, version, kind, and whether the objects are found by their labels. The others concern all pods, or are all those
/// of the namespace.
const KINDS: [(&str, &str, &str, bool); 21] = [
    ("", "v1", "ServiceAccount", true),
    ("", "v1", "ConfigMap", true),
    ("", "v1", "Secret", true),
    ("", "v1", "Service", true),
    ("", "v1", "Pod", true),
    ("", "v1", "PersistentVolumeClaim", true),
    ("", "v1", "ResourceQuota", false),
    ("", "v1", "LimitRange", false),
    ("apps", "v1", "Deployment", true),
    ("apps", "v1", "ReplicaSet", true),
    ("apps", "v1", "StatefulSet", true),
    ("batch", "v1", "Job", true),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", true),
    ("policy", "v1", "PodDisruptionBudget", true),
    ("networking.k8s.io", "v1", "Ingress", true),
    ("networking.k8s.io", "v1", "NetworkPolicy", false),
    ("discovery.k8s.io", "v1", "EndpointSlice", true),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute", true),
    ("cert-manager.io", "v1", "Certificate", true),
    ("monitoring.coreos.com", "v1", "ServiceMonitor", true),
    ("latchkey.dev", "v1alpha1", "AuthClient", false),
];

/// An object with its kind and name.
pub struct Found {
    pub kind: String,
    pub name: String,
    pub value: Value,
}

impl Found {
    /// The object of this kind as the API server stores it.
    pub fn of(kind: &str, value: Value) -> Self {
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Self { kind: kind.to_owned(), name, value }
    }
}

/// The objects of an AuthService, and why some of them could not be read.
pub async fn of_service(cluster: &Cluster, name: &str) -> (Vec<Found>, Vec<String>) {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for (group, version, kind, labelled) in KINDS {
        let labels = if labelled { selector_for(kind, name) } else { String::new() };
        match list(cluster, &cluster.namespace, (group, version, kind), &labels).await {
            Ok(objects) => found.extend(objects),
            // The kind is not installed.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => errors.push(format!("{kind}: {error}")),
        }
    }
    (found, errors)
}

/// Pods, ReplicaSets, claims and EndpointSlices have the labels of their template or Service.
fn selector_for(kind: &str, name: &str) -> String {
    match kind {
        "PersistentVolumeClaim" | "ReplicaSet" | "EndpointSlice" => {
            format!("app.kubernetes.io/instance={name}")
        }
        _ => selector(name),
    }
}

/// The objects of a kind with these labels.
pub async fn list(
    cluster: &Cluster,
    namespace: &str,
    (group, version, kind): (&str, &str, &str),
    labels: &str,
) -> Result<Vec<Found>, kube::Error> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let path = DynamicObject::url_path(&resource, Some(namespace));
    let objects = cluster.list_as_stored(&path, labels).await?.into_iter();
    let found = objects.map(|mut value| {
        value["apiVersion"] = json!(resource.api_version);
        value["kind"] = json!(kind);
        Found::of(kind, value)
    });
    Ok(found.collect())
}

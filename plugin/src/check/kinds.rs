//! Kinds and cluster-wide objects that the fields of the spec need.

use std::fmt::Debug;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use latchkey_crds::AuthService;
use serde::de::DeserializeOwned;

use super::findings::{Findings, Outcome};
use crate::cluster::Cluster;

const AREA: &str = "kinds";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Checks what the spec asks for.
pub async fn check(cluster: &Cluster, service: &AuthService, findings: &mut Findings) {
    let spec = &service.spec;
    let exposure = spec.exposure.as_ref();
    let ingress = exposure.and_then(|exposure| exposure.ingress.as_ref());
    let gateway = exposure.and_then(|exposure| exposure.gateway.as_ref());
    let has_certificate =
        serde_json::to_value(exposure).is_ok_and(|exposure| contains(&exposure, "certificate"));
    let monitor = spec.monitoring.service_monitor.enabled;
    for (needed, version, kind, field) in [
        (monitor, "monitoring.coreos.com/v1", "ServiceMonitor", "spec.monitoring.serviceMonitor"),
        (gateway.is_some(), "gateway.networking.k8s.io/v1", "HTTPRoute", "spec.exposure.gateway"),
        (has_certificate, "cert-manager.io/v1", "Certificate", "spec.exposure"),
        (spec.autoscaling.is_some(), "metrics.k8s.io/v1beta1", "PodMetrics", "spec.autoscaling"),
    ] {
        if needed {
            kind_exists(cluster, version, kind, field, findings).await;
        }
    }
    if let Some(class) = ingress.and_then(|ingress| ingress.class_name.as_deref()) {
        named::<IngressClass>(cluster, class, findings).await;
    }
    if let Some(class) = spec.pod.priority_class_name.as_deref() {
        named::<PriorityClass>(cluster, class, findings).await;
    }
    let is_embedded = spec.database.url_secret_ref.is_none();
    let storage = spec.database.embedded.as_ref().and_then(|embedded| embedded.storage.as_ref());
    if is_embedded && storage.is_some() {
        default_storage_class(cluster, findings).await;
    }
}

fn contains(value: &serde_json::Value, member: &str) -> bool {
    value.as_object().is_some_and(|members| {
        members.contains_key(member) || members.values().any(|inner| contains(inner, member))
    })
}

async fn kind_exists(cluster: &Cluster, version: &str, kind: &str, field: &str, findings: &mut Findings) {
    let subject = format!("{kind} ({version})");
    match cluster.client.list_api_group_resources(version).await {
        Ok(list) if list.resources.iter().any(|resource| resource.kind == kind) => {
            findings.add(AREA, subject, Outcome::Passed, format!("installed; {field} needs it"));
        }
        Ok(_) => findings.add(AREA, subject, Outcome::Failed, format!("not installed; {field} needs it")),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            findings.add(AREA, subject, Outcome::Failed, format!("not installed; {field} needs it"));
        }
        Err(error) => findings.add(AREA, subject, Outcome::Unknown, error.to_string()),
    }
}

async fn named<K>(cluster: &Cluster, name: &str, findings: &mut Findings)
where
    K: Resource<Scope = ClusterResourceScope> + Clone + DeserializeOwned + Debug,
    K::DynamicType: Default,
{
    let subject = format!("{} {name}", K::kind(&K::DynamicType::default()));
    let api: Api<K> = Api::all(cluster.client.clone());
    match api.get_metadata_opt(name).await {
        Ok(Some(_)) => findings.add(AREA, subject, Outcome::Passed, "exists"),
        Ok(None) => {
            let existing = api.list_metadata(&ListParams::default()).await;
            let names: Vec<String> =
                existing.map(|list| list.iter().map(ResourceExt::name_any).collect()).unwrap_or_default();
            let existing = if names.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there are {}", names.join(", "))
            };
            findings.add(AREA, subject, Outcome::Failed, format!("does not exist; {existing}"));
        }
        Err(error) => findings.add(AREA, subject, Outcome::Unknown, error.to_string()),
    }
}

async fn default_storage_class(cluster: &Cluster, findings: &mut Findings) {
    let subject = "a default StorageClass";
    let api: Api<StorageClass> = Api::all(cluster.client.clone());
    match api.list(&ListParams::default()).await {
        Ok(list) => {
            let is_default =
                |class: &&StorageClass| class.annotations().get(DEFAULT_CLASS).is_some_and(|is| is == "true");
            match list.iter().find(is_default) {
                Some(class) => findings.add(AREA, subject, Outcome::Passed, class.name_any()),
                None => findings.add(
                    AREA,
                    subject,
                    Outcome::Failed,
                    "no StorageClass is the default, so the volume of spec.database.embedded.storage is not bound",
                ),
            }
        }
        Err(error) => findings.add(AREA, subject, Outcome::Unknown, error.to_string()),
    }
}

//! Who may talk to the pods, and whom they may talk to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// NetworkPolicies that refuse everything but what is named here. They work where the cluster's network plugin
/// enforces them.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether there are NetworkPolicies.
    #[serde(default)]
    pub enabled: bool,
    /// The namespaces whose pods may call the API, that of the ingress controller or gateway among them, such as
    /// {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}}. Empty: only pods of the
    /// AuthService's own namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub allow_from: Vec<Peer>,
    /// The namespaces whose pods may read the metrics: that of Prometheus. The operator always may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub allow_metrics_from: Vec<Peer>,
    /// The networks that PostgreSQL, Redis, the SMTP server and the trace collector are in, such as 10.0.0.0/8.
    /// Empty: any, since their addresses are not known; the ports are those of their URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 2, max = 49)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network))")
        .message("spec.networkPolicy.egressNetworks must hold networks such as 10.0.0.0/8"))]
    pub egress_networks: Vec<String>,
}

/// Pods of some namespaces.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Labels of the namespaces; {} is every namespace.
    pub namespace_selector: LabelSelector,
    /// Labels of the pods. Default: every pod of these namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
}

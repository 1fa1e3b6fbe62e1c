//! NetworkPolicies for the pods.

use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyIngressRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// NetworkPolicies that allow only the traffic described here. They take effect if the cluster's network plugin
/// enforces NetworkPolicies.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Enables the NetworkPolicies.
    #[serde(default)]
    pub enabled: bool,
    /// The namespaces whose pods may call the API, including that of the ingress controller or gateway, such as
    /// {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}}. Empty: only pods in the namespace of
    /// the AuthService.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub allow_from: Vec<Peer>,
    /// The namespaces whose pods may read the metrics, such as that of Prometheus. The operator always has access.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub allow_metrics_from: Vec<Peer>,
    /// The ports of Redis that its URL does not name: that of a primary behind Sentinel, unless it is 6379, and those
    /// of the other nodes of a Redis Cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(range(min = 1, max = 65535)))]
    pub redis_ports: Vec<i32>,
    /// The networks of PostgreSQL, Redis, the SMTP server and the trace collector, such as 10.0.0.0/8. Empty: any
    /// network. The ports are taken from the URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 2, max = 49)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network))")
        .message("spec.networkPolicy.egressNetworks must contain networks such as 10.0.0.0/8"))]
    pub egress_networks: Vec<String>,
    /// Additional egress of all pods, such as to the control plane of a service mesh: a list of NetworkPolicyEgressRules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub extra_egress: Vec<NetworkPolicyEgressRule>,
    /// Additional ingress of the server's pods, such as to the port of an injected proxy: a list of
    /// NetworkPolicyIngressRules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub extra_ingress: Vec<NetworkPolicyIngressRule>,
}

/// Pods selected by namespace and labels.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Labels of the namespaces; {} is every namespace.
    pub namespace_selector: LabelSelector,
    /// Labels of the pods. Default: every pod of these namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
}

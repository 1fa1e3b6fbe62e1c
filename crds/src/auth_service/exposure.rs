//! Exposure of the API outside the cluster.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RouteExposure;

/// Exposes the API outside the cluster with an Ingress, an HTTPRoute, or a Route of OpenShift. The management port is never exposed.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.ingress), has(self.gateway), has(self.route)].filter(chosen, chosen).size() == 1")
    .message("spec.exposure: set ingress, gateway or route, exactly one of them"))]
pub struct Exposure {
    /// An Ingress (networking.k8s.io/v1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressExposure>,
    /// An HTTPRoute (gateway.networking.k8s.io/v1). Created if the Gateway API is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayExposure>,
    /// A Route of OpenShift (route.openshift.io/v1). Created if the cluster has the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteExposure>,
}

/// An Ingress.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IngressExposure {
    /// The host name, such as auth.example.com.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(HOST_NAME)
        .message("spec.exposure.ingress.host must be a host name in lower case, such as auth.example.com"))]
    pub host: String,
    /// The IngressClass. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Annotations of the Ingress, for its controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = Rule::new("!('latchkey.dev/rendered' in self)")
        .message("spec.exposure.ingress.annotations: latchkey.dev/rendered is reserved for the operator"))]
    pub annotations: BTreeMap<String, String>,
    /// TLS. Unset: the Ingress serves unencrypted HTTP; terminate TLS in front of it, because requests carry
    /// passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngressTls>,
}

/// The source of the Ingress's certificate.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretName) != has(self.certificate)")
    .message("spec.exposure.ingress.tls: set secretName or certificate, one of the two"))]
pub struct IngressTls {
    /// A Secret of type kubernetes.io/tls in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// A cert-manager Certificate, stored in the Secret NAME-tls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// A cert-manager Certificate (cert-manager.io/v1). Created if cert-manager is installed.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// The issuer of the certificate.
    pub issuer_ref: IssuerRef,
}

/// A cert-manager issuer.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// The issuer's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Issuer (in the same namespace) or ClusterIssuer, or the kind of an external issuer.
    #[serde(default = "issuer")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The issuer's API group.
    #[serde(default = "cert_manager")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

fn issuer() -> String {
    "Issuer".to_owned()
}

fn cert_manager() -> String {
    "cert-manager.io".to_owned()
}

/// An HTTPRoute. The Gateway's listener terminates TLS.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayExposure {
    /// The Gateways or listeners to which the route is attached.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = Rule::new(DISTINCT_LISTENERS)
        .message("spec.exposure.gateway.parentRefs: several references to one Gateway must name different listeners by sectionName or port"))]
    pub parent_refs: Vec<ParentRef>,
    /// The host names, such as auth.example.com.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new(HOST_NAMES)
        .message("spec.exposure.gateway.hostnames must contain host names in lower case, such as auth.example.com"))]
    pub hostnames: Vec<String>,
    /// A cert-manager Certificate for the host names, stored in the Secret NAME-tls in this namespace. A Gateway in
    /// another namespace needs a ReferenceGrant to use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// A Gateway, or one of its listeners.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// The Gateway's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The Gateway's namespace. Default: the namespace of the AuthService.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The listener's name. Default: all compatible listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// The listener's port. Default: all compatible listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// Requires at least two labels, because a name without a dot resolves only inside the cluster.
pub(super) const HOST_NAME: &str =
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$')";

/// The rule of an HTTPRoute: one reference to a Gateway, or several that name different listeners.
const DISTINCT_LISTENERS: &str = "self.all(one, self.exists_one(other, \
    one.name == other.name && \
    (has(one.__namespace__) ? one.__namespace__ : '') == (has(other.__namespace__) ? other.__namespace__ : '') && \
    (!has(one.sectionName) && !has(one.port) || !has(other.sectionName) && !has(other.port) || \
        (has(one.sectionName) ? one.sectionName : '') == (has(other.sectionName) ? other.sectionName : '') && \
        (has(one.port) ? one.port : 0) == (has(other.port) ? other.port : 0))))";

const HOST_NAMES: &str = "self.all(host, \
    host.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$'))";

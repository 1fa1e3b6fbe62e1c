//! How the API is reached from outside of the cluster.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the API is reached from outside of the cluster: by an Ingress, or by a route of a Gateway. The management
/// port is never exposed.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.ingress) != has(self.gateway)")
    .message("spec.exposure: set ingress or gateway, one of the two"))]
pub struct Exposure {
    /// An Ingress (networking.k8s.io/v1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressExposure>,
    /// An HTTPRoute of a Gateway (gateway.networking.k8s.io/v1), made when the cluster knows that kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayExposure>,
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
        .message("spec.exposure.ingress.annotations: latchkey.dev/rendered is the operator's own"))]
    pub annotations: BTreeMap<String, String>,
    /// TLS. Unset: none, so that passwords cross the network in clear unless something in front of the Ingress
    /// ends TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<IngressTls>,
}

/// Where the certificate of an Ingress comes from.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretName) != has(self.certificate)")
    .message("spec.exposure.ingress.tls: set secretName or certificate, one of the two"))]
pub struct IngressTls {
    /// A Secret of type kubernetes.io/tls in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// A Certificate of cert-manager, whose Secret is NAME-tls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// A Certificate of cert-manager (cert-manager.io/v1), made when the cluster knows that kind.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Who signs it.
    pub issuer_ref: IssuerRef,
}

/// An issuer of cert-manager.
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

/// An HTTPRoute. TLS ends at the Gateway's listener.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GatewayExposure {
    /// The Gateways, or listeners of them, that the route is attached to.
    #[schemars(length(min = 1, max = 8))]
    pub parent_refs: Vec<ParentRef>,
    /// The host names, such as auth.example.com.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new(HOST_NAMES)
        .message("spec.exposure.gateway.hostnames must hold host names in lower case, such as auth.example.com"))]
    pub hostnames: Vec<String>,
    /// A Certificate of cert-manager for the host names, whose Secret is NAME-tls in this namespace. A Gateway in
    /// another namespace needs a ReferenceGrant to use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// A Gateway, or a listener of it.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// The Gateway's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The Gateway's namespace. Default: the AuthService's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The listener's name. Default: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// The listener's port. Default: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// At least two labels: a name without a dot is one only inside the cluster.
const HOST_NAME: &str = "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$')";

const HOST_NAMES: &str = "self.all(host, \
    host.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$'))";

//! A Route of OpenShift.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exposure::HOST_NAME;

/// A Route of OpenShift.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RouteExposure {
    /// The host name, such as auth.apps.example.com.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(HOST_NAME)
        .message("spec.exposure.route.host must be a host name in lower case, such as auth.apps.example.com"))]
    pub host: String,
    /// Annotations of the Route, for the router.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[x_kube(validation = Rule::new("!('latchkey.dev/rendered' in self)")
        .message("spec.exposure.route.annotations: latchkey.dev/rendered is reserved for the operator"))]
    pub annotations: BTreeMap<String, String>,
    /// TLS with the certificate of the router; plain HTTP is redirected. Unset: the Route serves unencrypted HTTP;
    /// terminate TLS in front of it, because requests carry passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<RouteTls>,
}

/// TLS of a Route.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.destinationCACertificate) || self.termination == 'reencrypt'")
    .message("spec.exposure.route.tls: destinationCACertificate needs the termination reencrypt"))]
pub struct RouteTls {
    /// Where TLS ends: edge (at the router, which connects to the pods without TLS), or reencrypt (the router connects to
    /// the pods with TLS, which they must serve).
    #[serde(default)]
    pub termination: RouteTermination,
    /// The certificate authority of the certificates of the pods, in PEM form. Default: that of the cluster's service
    /// certificates.
    #[serde(default, rename = "destinationCACertificate", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20_000))]
    pub destination_ca_certificate: Option<String>,
}

/// Where TLS of a Route ends.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum RouteTermination {
    /// At the router.
    #[default]
    Edge,
    /// At the router, which connects to the pods with TLS.
    Reencrypt,
}

impl RouteTermination {
    /// The name in a Route.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Reencrypt => "reencrypt",
        }
    }
}

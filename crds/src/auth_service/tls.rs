//! TLS of the API port.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{IssuerRef, SecretName};

/// Serves the API by HTTPS only, so that passwords and tokens do not cross the cluster unencrypted. The Service has the
/// port 443 instead of 80. A renewed certificate is used without a restart. The management port has no TLS.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretRef) != has(self.issuerRef)")
    .message("spec.tls: set secretRef or issuerRef, one of the two"))]
pub struct Tls {
    /// A Secret of type kubernetes.io/tls in the same namespace: tls.crt, followed by the intermediate certificates,
    /// and tls.key. The certificate must be valid for NAME.NAMESPACE.svc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretName>,
    /// A cert-manager issuer, from which the operator requests a certificate for the names of the Service. Its Secret
    /// is NAME-api-tls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
}

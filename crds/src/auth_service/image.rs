//! The container image.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretName;

/// The server's container image.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.tag) && has(self.digest))")
    .message("spec.image: set tag or digest, not both"))]
pub struct Image {
    /// Registry and repository, such as registry.example.com/latchkey-server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9._-]+)*$')")
        .message("spec.image.repository must be a registry and path without tag and digest, such as ghcr.io/latchkey-dev/latchkey-server"))]
    pub repository: Option<String>,
    /// The tag. For a mutable tag, set pullPolicy to Always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$')")
        .message("spec.image.tag must be letters, digits, '_', '.' and '-', such as 0.1.0"))]
    pub tag: Option<String>,
    /// The digest, such as sha256:…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 140))]
    #[x_kube(validation = Rule::new("self.matches('^sha256:[a-f0-9]{64}$')")
        .message("spec.image.digest must be sha256: and 64 hexadecimal digits"))]
    pub digest: Option<String>,
    /// The image pull policy. Default: IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Secrets of type kubernetes.io/dockerconfigjson in the same namespace, for a private registry. All pods of this
    /// service use them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(validation = Rule::new("self.all(secret, self.exists_one(other, other.name == secret.name))")
        .message("spec.image.pullSecrets names a Secret twice: remove one"))]
    pub pull_secrets: Vec<SecretName>,
}

/// The image pull policy.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    /// The name in a container spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

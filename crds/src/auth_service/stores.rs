//! PostgreSQL and Redis, and the references to Secrets.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;

/// A Secret in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretName {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One key of a Secret in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data. Default: url.
    #[serde(default = "url_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn url_key() -> String {
    "url".to_owned()
}

/// A client certificate and its private key in PEM form: two keys of a Secret in the same namespace, such as one that
/// cert-manager writes (kubernetes.io/tls).
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key that contains the certificate, followed by its intermediate certificates.
    #[serde(default = "certificate_key")]
    #[schemars(length(min = 1, max = 253))]
    pub certificate_key: String,
    /// The key that contains the private key.
    #[serde(default = "private_key_key")]
    #[schemars(length(min = 1, max = 253))]
    pub private_key_key: String,
}

fn certificate_key() -> String {
    "tls.crt".to_owned()
}

fn private_key_key() -> String {
    "tls.key".to_owned()
}

/// The database for accounts and sessions.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[x_kube(validation = Rule::new("!has(self.clientCertificateSecretRef) || has(self.urlSecretRef)")
    .message("spec.database.clientCertificateSecretRef applies only to an external database: set urlSecretRef, or remove clientCertificateSecretRef"))]
#[x_kube(validation = Rule::new("!(has(self.allowShared) && self.allowShared) || has(self.urlSecretRef)")
    .message("spec.database.allowShared applies only to an external database: set urlSecretRef, or remove allowShared"))]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// A Secret that contains the URL of a PostgreSQL database, such as postgres://USER:PASSWORD@HOST:5432/NAME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
    /// A small PostgreSQL that the operator runs for this service, with generated credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedPostgres>,
    /// The client certificate for an external database that requires one. A renewed certificate is used without a
    /// restart. The parameters sslcert and sslkey of the URL take precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<ClientCertificateRef>,
    /// The maximum number of connections of each replica. The replicas, and one more during a rollout, must fit into
    /// what the database allows.
    #[serde(default = "pool_size")]
    #[schemars(range(min = 4, max = 1000))]
    pub pool_size: i32,
    /// Allows another AuthService to use the same external database. Both then share accounts, sessions and e-mails,
    /// but not the signing keys. Use it only while one service replaces the other.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_shared: bool,
}

fn pool_size() -> i32 {
    20
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url_secret_ref: None,
            embedded: None,
            client_certificate_secret_ref: None,
            pool_size: pool_size(),
            allow_shared: false,
        }
    }
}

/// A small PostgreSQL that the operator runs: one instance without backups, for evaluation.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[x_kube(validation = Rule::new("!(has(self.reclaim) && self.reclaim == 'Retain') || has(self.storage)")
    .message("spec.database.embedded.reclaim: Retain needs storage: without a volume there is nothing to retain"))]
pub struct EmbeddedPostgres {
    /// Size of the volume, such as 1Gi, from the default storage class. Unset: the data are stored in the pod and are
    /// deleted with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
        .message("spec.database.embedded.storage must be a size above 0, such as 1Gi"))]
    pub storage: Option<String>,
    /// Whether the volume and its password are deleted or retained when the AuthService is deleted or uses an external
    /// database.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reclaim: Reclaim,
    /// CPU and memory of the container. Default: requests of 50m and 128Mi, a memory limit of 512Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// The reclaim policy of a volume that is no longer used.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reclaim {
    /// The volume is deleted.
    #[default]
    Delete,
    /// The volume is retained, and a new AuthService of the same name uses it again.
    Retain,
}

/// The Redis or Valkey for token revocations.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[x_kube(validation = Rule::new("!has(self.clientCertificateSecretRef) || has(self.urlSecretRef)")
    .message("spec.redis.clientCertificateSecretRef applies only to an external Redis: set urlSecretRef, or remove clientCertificateSecretRef"))]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    /// A Secret that contains the URL of a Redis or Valkey, such as rediss://:PASSWORD@HOST:6380. Its
    /// maxmemory-policy must be noeviction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
    /// A small Valkey that the operator runs for this service, with a generated password. It needs no volume, because
    /// its data are also stored in PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedRedis>,
    /// The client certificate for an external Redis that requires one; the URL must start with rediss:// or
    /// rediss+sentinel://. A renewed certificate is used without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<ClientCertificateRef>,
}

/// A small Valkey that the operator runs.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub struct EmbeddedRedis {
    /// CPU and memory of the container. Default: requests of 20m and 32Mi, a memory limit of 192Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

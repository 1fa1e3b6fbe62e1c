//! PostgreSQL and Redis, and the references to Secrets.

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

/// Where accounts and sessions are kept.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(validation = Rule::new("!(has(self.allowShared) && self.allowShared) || has(self.urlSecretRef)")
    .message("spec.database.allowShared is about a database of yours: set urlSecretRef, or leave it out"))]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// A Secret that holds the URL of a PostgreSQL database, such as postgres://USER:PASSWORD@HOST:5432/NAME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
    /// A small PostgreSQL that the operator runs for this service, with generated credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedPostgres>,
    /// Whether the external database may be one that another AuthService names too. Such services share accounts,
    /// sessions and mail, but no signing keys: wanted only while one replaces the other.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_shared: bool,
}

/// A small PostgreSQL that the operator runs. One instance without backups: to try things out.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(validation = Rule::new("!(has(self.reclaim) && self.reclaim == 'Retain') || has(self.storage)")
    .message("spec.database.embedded.reclaim: Retain needs storage: without a volume there is nothing to keep"))]
pub struct EmbeddedPostgres {
    /// Size of its volume, such as 1Gi, from the default storage class. Unset: the data live in the pod and are
    /// gone with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
        .message("spec.database.embedded.storage must be a size above 0, such as 1Gi"))]
    pub storage: Option<String>,
    /// What becomes of the volume and its password when the AuthService is deleted, or moves to another database.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reclaim: Reclaim,
}

/// What becomes of a volume that is no longer used.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reclaim {
    /// It is deleted with all that it holds.
    #[default]
    Delete,
    /// It stays, and an AuthService of the same name takes it over.
    Retain,
}

/// Where revocations are looked up fast.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    /// A Secret that holds the URL of a Redis or Valkey, such as rediss://:PASSWORD@HOST:6380. Its
    /// maxmemory-policy must be noeviction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
    /// A small Valkey that the operator runs for this service, with a generated password. What it holds is
    /// also in PostgreSQL, so that it needs no volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedRedis>,
}

/// A small Valkey that the operator runs.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct EmbeddedRedis {}

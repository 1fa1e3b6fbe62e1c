//! The observed state.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The observed state. `kubectl describe authsvc NAME` shows a message for each condition.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AuthServiceStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions: Ready, Progressing, and those that they depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The number of server replicas.
    #[serde(default)]
    pub replicas: i32,
    /// The number of ready server replicas.
    #[serde(default)]
    pub ready_replicas: i32,
    /// The label selector of the server's pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The version that the running server reports; until it reports one, the image tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version of the database schema that the server reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<i64>,
    /// The schema versions with which the running server is compatible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_range: Option<SchemaRange>,
    /// The address of the API inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The signing keys. If the Secret of a key listed here is lost, the operator reports it and does not create a
    /// new key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kid".into()]))]
    pub signing_keys: Vec<SigningKeyStatus>,
    /// The values of the key annotations that were processed, by the annotation's name without its prefix. Each value
    /// is processed once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key_requests: BTreeMap<String, String>,
    /// The operator that reconciles this AuthService: namespace and name of its Lease. Other operators change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Another operator that asks whether that one still runs. It takes over if this is not removed in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_request: Option<String>,
}

/// One signing key.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeyStatus {
    /// The key id (`kid`): the RFC 7638 thumbprint.
    pub kid: String,
    /// The phase of the key.
    pub phase: KeyPhase,
    /// The time at which the key entered this phase.
    pub since: Time,
    /// The reason why the key has not entered the next phase yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// The phase of a signing key.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum KeyPhase {
    /// In the public key set, not used for signing yet.
    Published,
    /// Used for signing.
    Active,
    /// Used for verification only.
    Retiring,
}

/// The schema versions that a server supports, and the servers that support the schema that it creates.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SchemaRange {
    /// The minimum schema version, which is also the version that its migrations create. The server supports a newer
    /// schema if the database declares that schema compatible with this version.
    pub required: i64,
    /// The oldest server, identified by its required schema version, that supports the schema that this server creates.
    pub oldest_server: i64,
}

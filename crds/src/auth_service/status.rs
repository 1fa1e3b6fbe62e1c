//! What was observed.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator last observed. `kubectl describe authsvc NAME` explains each condition in one sentence.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AuthServiceStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Progressing and what they rest on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Server replicas that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Server replicas that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// The label selector of the server's pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Version of the server that runs, as it reports it; until it does, the image's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Version of the database schema, as the server reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<i64>,
    /// The schema versions that the server which runs can live with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_range: Option<SchemaRange>,
    /// The address of the API inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The signing keys that were made. A key named here whose material is gone is never made anew in silence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kid".into()]))]
    pub signing_keys: Vec<SigningKeyStatus>,
    /// The values of the annotations about keys that were carried out, by the annotation's name without its prefix:
    /// each value acts once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key_requests: BTreeMap<String, String>,
}

/// One signing key.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SigningKeyStatus {
    /// The key's id, as tokens name it: its RFC 7638 thumbprint.
    pub kid: String,
    /// What the key does.
    pub phase: KeyPhase,
    /// Since when it does so.
    pub since: Time,
    /// What its next step waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// What a signing key does.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum KeyPhase {
    /// In the public key set, not signing yet.
    Published,
    /// Signs.
    Active,
    /// Verifies only.
    Retiring,
}

/// What a server version needs of the schema, and what the schema that it makes needs of servers.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SchemaRange {
    /// The oldest schema that it runs on, which is the one that it makes. A newer one serves while the database says
    /// that servers of this number can live with it.
    pub required: i64,
    /// The oldest server, by the schema that it requires, which can live with the schema that this one makes.
    pub oldest_server: i64,
}

//! The Secret of a confidential client.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::is_default;

/// A duration of zero to a year. The API server evaluates it as CEL.
const OVERLAP: &str = "self.matches('^([0-9]{1,6}[hms])+$') && duration(self) <= duration('8760h')";

/// The Secret that the operator generates.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// The Secret's name. Default: NAME-oauth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("spec.secret.name must be the name of a Secret"))]
    pub name: Option<String>,
    /// The names of its keys.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keys: SecretKeys,
    /// Labels of the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(name, !name.startsWith('app.kubernetes.io/'))")
        .message("spec.secret.labels: the labels app.kubernetes.io/… are reserved for the operator"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(name, !name.startsWith('latchkey.dev/'))")
        .message("spec.secret.annotations: the annotations latchkey.dev/… are reserved for the operator"))]
    pub annotations: BTreeMap<String, String>,
    /// The age at which the secret is rotated, between 1h and 8760h, such as 2160h. Unset: only on request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,6}[hms])+$') && duration(self) >= duration('1h') && duration(self) <= duration('8760h')")
        .message("spec.secret.rotationInterval must be between 1h and 8760h (a year), such as 2160h"))]
    pub rotation_interval: Option<String>,
    /// How long the previous secret works after a rotation, such as 24h. 0s: it stops when the new one works.
    #[serde(default = "a_day")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new(OVERLAP)
        .message("spec.secret.overlap must be between 0s and 8760h (a year), such as 24h"))]
    pub overlap: String,
}

fn a_day() -> String {
    "24h".to_owned()
}

impl Default for ClientSecret {
    fn default() -> Self {
        Self {
            name: None,
            keys: SecretKeys::default(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            rotation_interval: None,
            overlap: a_day(),
        }
    }
}

/// The names of the keys of a Secret: each value is stored under every name in its list. An empty list omits the value.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeys {
    /// The keys with the client id.
    #[serde(default = "client_id")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[-._a-zA-Z0-9]+$'))")
        .message("spec.secret.keys.clientId must contain names of letters, digits and . _ -"))]
    pub client_id: Vec<String>,
    /// The keys with the client secret; at least one.
    #[serde(default = "client_secret")]
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[-._a-zA-Z0-9]+$'))")
        .message("spec.secret.keys.clientSecret must contain names of letters, digits and . _ -"))]
    pub client_secret: Vec<String>,
    /// The keys with the issuer of the AuthService.
    #[serde(default = "issuer")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[-._a-zA-Z0-9]+$'))")
        .message("spec.secret.keys.issuer must contain names of letters, digits and . _ -"))]
    pub issuer: Vec<String>,
    /// The keys with the URL of the token endpoint.
    #[serde(default = "token_url")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[-._a-zA-Z0-9]+$'))")
        .message("spec.secret.keys.tokenUrl must contain names of letters, digits and . _ -"))]
    pub token_url: Vec<String>,
}

fn client_id() -> Vec<String> {
    vec!["client-id".to_owned()]
}

fn client_secret() -> Vec<String> {
    vec!["client-secret".to_owned()]
}

fn issuer() -> Vec<String> {
    vec!["issuer".to_owned()]
}

fn token_url() -> Vec<String> {
    vec!["token-url".to_owned()]
}

impl Default for SecretKeys {
    fn default() -> Self {
        Self {
            client_id: client_id(),
            client_secret: client_secret(),
            issuer: issuer(),
            token_url: token_url(),
        }
    }
}

/// One key of an existing Secret in the namespace of the AuthClient.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct ExistingSecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data, with at least 32 characters. Default: client-secret.
    #[serde(default = "client_secret_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// How long the previous value works after a change of the Secret, such as 24h. 0s: it stops at once.
    #[serde(default = "a_day")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new(OVERLAP)
        .message("spec.existingSecretRef.overlap must be between 0s and 8760h (a year), such as 24h"))]
    pub overlap: String,
}

fn client_secret_key() -> String {
    "client-secret".to_owned()
}

//! `AuthClient`: an OAuth client of an [`AuthService`](crate::AuthService).

mod secret;
mod status;

pub use secret::{ClientSecret, ExistingSecretRef, SecretKeys};
pub use status::AuthClientStatus;

use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Omits sections with default values from the YAML.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The desired state of an OAuth client.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[kube(
    group = "latchkey.dev",
    version = "v1alpha1",
    kind = "AuthClient",
    plural = "authclients",
    shortname = "authcl",
    category = "latchkey",
    namespaced,
    status = "AuthClientStatus",
    derive = "PartialEq",
    doc = "An OAuth client of an AuthService: an application that obtains access tokens. The Latchkey operator \
           generates its secret and registers it with the servers of the AuthService.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether every replica of the AuthService accepts the client.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Client ID",
        type_ = "string",
        description = "The client id.",
        json_path = ".status.clientId"
    ),
    printcolumn(
        name = "AuthService",
        type_ = "string",
        description = "The AuthService with which the client is registered.",
        json_path = ".spec.authServiceRef.name"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "The reason of the condition Ready.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Type",
        type_ = "string",
        description = "Whether the client has a secret.",
        json_path = ".spec.type",
        priority = 1
    ),
    printcolumn(
        name = "Secret",
        type_ = "string",
        description = "The Secret with the client secret.",
        json_path = ".status.secretName",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 100")
        .message("metadata.name must have at most 100 characters: names of the client and of its Secret are derived from it")
)]
#[x_kube(
    validation = Rule::new("self.authServiceRef == oldSelf.authServiceRef")
        .message("spec.authServiceRef cannot be changed: create another AuthClient"),
    validation = Rule::new("has(self.clientId) == has(oldSelf.clientId) && (!has(self.clientId) || self.clientId == oldSelf.clientId)")
        .message("spec.clientId cannot be changed: create another AuthClient"),
    validation = Rule::new("!(has(self.secret) && has(self.existingSecretRef))")
        .message("set spec.secret or spec.existingSecretRef, not both"),
    validation = Rule::new("self.type != 'public' || (!has(self.secret) && !has(self.existingSecretRef))")
        .message("a public client has no secret: remove spec.secret and spec.existingSecretRef, or set spec.type to confidential"),
    validation = Rule::new("self.type != 'public' || !('client_credentials' in self.grantTypes)")
        .message("a public client cannot use the grant client_credentials (RFC 6749 section 4.4): remove it from spec.grantTypes, or set spec.type to confidential")
)]
#[serde(rename_all = "camelCase")]
pub struct AuthClientSpec {
    /// The AuthService with which the client is registered. Its spec.clients decides which namespaces may register
    /// clients. Immutable.
    pub auth_service_ref: AuthServiceRef,
    /// The client id: 1 to 128 printable ASCII characters without spaces, not digits only. Default: NAMESPACE.NAME of
    /// this AuthClient. The oldest AuthClient of an AuthService with this id has it. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]+$') && !self.matches('^[0-9]+$') && self != 'latchkey'")
        .message("spec.clientId must have printable ASCII characters only, without spaces and not digits only, and not be latchkey"))]
    pub client_id: Option<String>,
    /// Whether the client can keep a secret: confidential (it has one) or public.
    #[serde(rename = "type", default)]
    pub client_type: ClientType,
    /// The grants that the client may use at the token endpoint.
    #[serde(default = "client_credentials")]
    #[schemars(length(min = 1, max = 3))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, one == other))")
        .message("spec.grantTypes names a grant twice: remove one"))]
    pub grant_types: Vec<GrantType>,
    /// The scopes that the client may be granted. A request without `scope` is granted all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(
        validation = Rule::new("self.all(scope, scope.matches('^[!#-\\\\[\\\\]-~]+$'))")
            .message("spec.scopes must contain scope tokens (RFC 6749 section 3.3): printable ASCII characters without spaces, quotes and backslashes"),
        validation = Rule::new("self.all(one, self.exists_one(other, one == other))")
            .message("spec.scopes names a scope twice: remove one")
    )]
    pub scopes: Vec<String>,
    /// The audiences that the client may request with `resource` (RFC 8707). The first one is that of a request
    /// without `resource`. Empty: only spec.tokens.audience of the AuthService.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(
        validation = Rule::new("self.all(audience, audience.matches('^[!-\"$-~]+$'))")
            .message("spec.audiences must contain names or absolute URIs: printable ASCII characters without spaces and fragments"),
        validation = Rule::new("self.all(one, self.exists_one(other, one == other))")
            .message("spec.audiences names an audience twice: remove one")
    )]
    pub audiences: Vec<String>,
    /// The lifetimes of the client's tokens.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tokens: ClientTokens,
    /// The Secret that the operator generates for a confidential client. Default: NAME-oauth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<ClientSecret>,
    /// A Secret in the namespace of the AuthClient that contains the client secret. The operator waits for it and never
    /// writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing_secret_ref: Option<ExistingSecretRef>,
}

/// An AuthService.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthServiceRef {
    /// The name of the AuthService.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
    /// Its namespace. Default: that of the AuthClient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Whether a client can keep a secret (RFC 6749 section 2.1).
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum ClientType {
    /// It has a secret.
    #[default]
    Confidential,
    /// It has none.
    Public,
}

/// A grant at the token endpoint.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// Tokens of the client itself (RFC 6749 section 4.4).
    ClientCredentials,
    /// Refreshing tokens of a user (RFC 6749 section 6).
    RefreshToken,
    /// Tokens of a user for username and password (RFC 6749 section 4.3).
    Password,
}

impl GrantType {
    /// The value of `grant_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken => "refresh_token",
            Self::Password => "password",
        }
    }
}

fn client_credentials() -> Vec<GrantType> {
    vec![GrantType::ClientCredentials]
}

/// The lifetimes of a client's tokens.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct ClientTokens {
    /// Lifetime of access tokens, between 1m and 1h, such as 10m.
    #[serde(rename = "accessTokenTTL", default = "ten_minutes")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,6}[hms])+$') && duration(self) >= duration('1m') && duration(self) <= duration('1h')")
        .message("spec.tokens.accessTokenTTL must be between 1m and 1h, such as 10m"))]
    pub access_token_ttl: String,
    /// Lifetime of refresh tokens of users who log in through the client, between 1m and 8760h, such as 8h.
    #[serde(rename = "refreshTokenTTL", default = "eight_hours")]
    #[schemars(length(min = 2, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,6}[hms])+$') && duration(self) >= duration('1m') && duration(self) <= duration('8760h')")
        .message("spec.tokens.refreshTokenTTL must be between 1m and 8760h (a year), such as 8h"))]
    pub refresh_token_ttl: String,
}

fn ten_minutes() -> String {
    "10m".to_owned()
}

fn eight_hours() -> String {
    "8h".to_owned()
}

impl Default for ClientTokens {
    fn default() -> Self {
        Self { access_token_ttl: ten_minutes(), refresh_token_ttl: eight_hours() }
    }
}

impl AuthClient {
    /// The client id, or its default.
    pub fn client_id(&self) -> String {
        self.spec
            .client_id
            .clone()
            .unwrap_or_else(|| format!("{}.{}", self.namespace().unwrap_or_default(), self.name_any()))
    }

    /// Whether it is to be registered with this AuthService.
    pub fn is_for(&self, namespace: &str, name: &str) -> bool {
        self.spec.auth_service_ref.name == name && self.auth_service_namespace() == namespace
    }

    /// The namespace of its AuthService.
    pub fn auth_service_namespace(&self) -> &str {
        let own = || self.metadata.namespace.as_deref().unwrap_or_default();
        self.spec.auth_service_ref.namespace.as_deref().unwrap_or_else(own)
    }

    /// The name of the Secret with the client secret; `None` for a public client.
    pub fn secret_name(&self) -> Option<String> {
        if self.spec.client_type == ClientType::Public {
            return None;
        }
        if let Some(existing) = &self.spec.existing_secret_ref {
            return Some(existing.name.clone());
        }
        let named = self.spec.secret.as_ref().and_then(|secret| secret.name.clone());
        Some(named.unwrap_or_else(|| format!("{}-oauth", self.name_any())))
    }
}

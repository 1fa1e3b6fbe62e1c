//! `AuthClient`: an OAuth client of an [`AuthService`](crate::AuthService).

mod claims;
mod keys;
mod secret;
mod status;

pub use claims::{ClaimFormat, ClaimValue, ClientClaim};
pub use keys::{Jwk, Jwks, KeyType, ServiceAccountName};
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
        description = "How the client authenticates.",
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
    validation = Rule::new("self.type == 'confidential' || !has(self.jwks)")
        .message("only a confidential client has keys: remove spec.jwks, or set spec.type to confidential"),
    validation = Rule::new("(self.type == 'workload') == has(self.serviceAccounts)")
        .message("a client of the type workload needs spec.serviceAccounts, and no other client has them"),
    validation = Rule::new("self.type != 'workload' || (!has(self.secret) && !has(self.existingSecretRef))")
        .message("a workload has no secret: remove spec.secret and spec.existingSecretRef, or set spec.type to confidential"),
    validation = Rule::new("self.type != 'public' || !('client_credentials' in self.grantTypes)")
        .message("a public client cannot use the grant client_credentials (RFC 6749 section 4.4): remove it from spec.grantTypes, or set spec.type to confidential"),
    validation = Rule::new("self.type != 'public' || !('urn:ietf:params:oauth:grant-type:token-exchange' in self.grantTypes)")
        .message("a public client cannot exchange tokens: remove urn:ietf:params:oauth:grant-type:token-exchange from spec.grantTypes, or set spec.type to confidential")
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
    /// How the client authenticates: confidential (with a secret or a key), workload (with the projected token of a
    /// ServiceAccount) or public (not at all).
    #[serde(rename = "type", default)]
    pub client_type: ClientType,
    /// The grants that the client may use at the token endpoint. The AuthService must allow
    /// urn:ietf:params:oauth:grant-type:token-exchange by name in its spec.clients.maximum.grantTypes.
    #[serde(default = "client_credentials")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, one == other))")
        .message("spec.grantTypes names a grant twice: remove one"))]
    pub grant_types: Vec<GrantType>,
    /// The scopes that the client may be granted. A request without `scope` is granted all of them. `groups` adds the
    /// names of the person's groups to the access tokens of people. users.read, users.write, audit.read and groups.manage
    /// are permissions at the AuthService itself, which must allow them by name in its spec.clients.maximum.scopes.
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
    /// The groups whose members may log in through the client, and refresh its tokens. Empty: everyone. Names are
    /// compared without regard to case; a group that does not exist has no members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(validation = Rule::new("self.all(group, group.matches('^/?[A-Za-z0-9_][A-Za-z0-9._:-]*(/[A-Za-z0-9_][A-Za-z0-9._:-]*)*$') && !group.matches('^(?i)system:'))")
        .message("spec.allowedGroups must contain names of groups: ASCII letters, digits or . _ - : /, not beginning with system:"))]
    pub allowed_groups: Vec<String>,
    /// Claims of the access tokens of people who log in through the client, from their groups, for applications that
    /// expect for example `roles`. They mean nothing to the AuthService itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, one.name == other.name))")
        .message("spec.claims names a claim twice: add the values to one of them"))]
    pub claims: Vec<ClientClaim>,
    /// Which clients may call this one on behalf of others (RFC 8693).
    #[serde(default, skip_serializing_if = "is_default")]
    pub token_exchange: TokenExchange,
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
    /// The public keys of a confidential client that authenticates with a signed JWT (private_key_jwt) instead of a secret.
    /// The operator then generates a secret only if spec.secret is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
    /// The ServiceAccounts whose pods are a client of the type workload, in the namespace of the AuthClient. The AuthService
    /// needs spec.workloadIdentity.enabled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, one.name == other.name))")
        .message("spec.serviceAccounts names a ServiceAccount twice: remove one"))]
    pub service_accounts: Vec<ServiceAccountName>,
}

/// Which exchanged tokens a client accepts (RFC 8693).
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenExchange {
    /// The client ids of the clients that may exchange the tokens that they are called with for tokens whose audience is
    /// this client. Each of them also needs the grant, and this client id among its spec.audiences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(
        validation = Rule::new("self.all(id, id.matches('^[!-~]+$') && !id.matches('^[0-9]+$') && id != 'latchkey')")
            .message("spec.tokenExchange.from must contain client ids: printable ASCII characters without spaces, not digits only, and not latchkey"),
        validation = Rule::new("self.all(one, self.exists_one(other, one == other))")
            .message("spec.tokenExchange.from names a client twice: remove one")
    )]
    pub from: Vec<String>,
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
    /// It has a secret or a key.
    #[default]
    Confidential,
    /// It has neither.
    Public,
    /// It has a Kubernetes ServiceAccount.
    Workload,
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
    /// Tokens for the next service, for those that the client is called with (RFC 8693).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

impl GrantType {
    /// The value of `grant_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken => "refresh_token",
            Self::Password => "password",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
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

    /// Whether [`Self::client_id`] is this one.
    pub fn has_client_id(&self, id: &str) -> bool {
        if let Some(own) = &self.spec.client_id {
            return own == id;
        }
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        let name = id.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('.'));
        name == Some(self.metadata.name.as_deref().unwrap_or_default())
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

    /// The name of the Secret with the client secret; `None` for a client that authenticates without one.
    pub fn secret_name(&self) -> Option<String> {
        let is_requested = self.spec.secret.is_some() || self.spec.existing_secret_ref.is_some();
        let has_key = self.spec.jwks.is_some() && !is_requested;
        if self.spec.client_type != ClientType::Confidential || has_key {
            return None;
        }
        if let Some(existing) = &self.spec.existing_secret_ref {
            return Some(existing.name.clone());
        }
        let named = self.spec.secret.as_ref().and_then(|secret| secret.name.clone());
        Some(named.unwrap_or_else(|| format!("{}-oauth", self.name_any())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_recognised_as_it_is_written() {
        for own in [None, Some("orders"), Some("shop.orders.v1")] {
            let mut client = AuthClient::new("orders.v1", AuthClientSpec::default());
            client.metadata.namespace = Some("shop".to_owned());
            client.spec.client_id = own.map(str::to_owned);
            let ids =
                ["shop.orders.v1", "shop.orders", "orders", "shop.", "shop", "orders.v1", ".orders.v1", ""];
            for id in ids {
                assert_eq!(client.has_client_id(id), client.client_id() == id, "{own:?} {id}");
            }
        }
    }
}

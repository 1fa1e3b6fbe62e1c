//! One client of the registry.

use std::collections::HashSet;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::claims::GroupClaim;
use crate::public_key::PublicKey;
use crate::rules::{
    MAX_ACCESS_TOKEN_TTL, MAX_ALLOWED_GROUPS, MAX_AUDIENCES, MAX_CLAIMS, MAX_CLAIMS_SIZE,
    MAX_EXCHANGING_CLIENTS, MAX_KEYS, MAX_REFRESH_TOKEN_TTL, MAX_SCOPES, MAX_SERVICE_ACCOUNTS,
    MIN_ACCESS_TOKEN_TTL, audience_fault, client_id_fault, group_name_fault, scope_fault,
};

/// A registered client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The client's id (RFC 6749 §2.2).
    pub client_id: String,
    /// What the client can keep secret.
    #[serde(rename = "type")]
    pub client_type: ClientType,
    /// The grants that it may use at the token endpoint.
    pub grant_types: Vec<GrantType>,
    /// The scopes that it may be granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Those of the scopes that are permissions at the server itself, because the owner of the server has allowed them. A
    /// scope that is missing here is only a word, whatever its name is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// The audiences (`resource` of RFC 8707) that it may request. The first is that of a request that names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// The groups whose members may use the client; everyone may if it is empty. Names are compared without regard to case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_groups: Vec<String>,
    /// Claims of people's tokens, from their groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<GroupClaim>,
    /// The clients that may exchange the tokens that they are called with for tokens whose audience is this client (RFC 8693).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_exchange_from: Vec<String>,
    /// The lifetime of its access tokens, in seconds.
    pub access_token_ttl: u32,
    /// The lifetime of its refresh tokens, in seconds.
    pub refresh_token_ttl: u32,
    /// What it authenticates with; more than one while a secret is rotated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
}

/// What a client can keep secret (RFC 6749 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientType {
    /// It has a secret or a key.
    Confidential,
    /// It has none.
    Public,
    /// It authenticates as a Kubernetes ServiceAccount.
    Workload,
}

/// A grant at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GrantType {
    /// RFC 6749 §4.4
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    /// RFC 6749 §6
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// RFC 6749 §4.3
    #[serde(rename = "password")]
    Password,
    /// RFC 8693
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
}

/// Something that a client authenticates with. Access tokens that were issued for it are accepted only while the registry
/// contains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Unique in the registry, and never used again for another credential.
    pub id: Uuid,
    /// From when on it is refused. Access tokens that were issued before expire by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// What it is.
    #[serde(flatten)]
    pub kind: CredentialKind,
}

/// The kinds of credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CredentialKind {
    /// A client secret (RFC 6749 §2.3.1). A fast hash is enough because the secret is long and random.
    Secret {
        /// The SHA-256 digest of the secret.
        sha256: SecretDigest,
    },
    /// A public key with which the client's assertions are verified (`private_key_jwt`, OpenID Connect Core §9).
    Key {
        /// The key.
        jwk: PublicKey,
    },
    /// A Kubernetes ServiceAccount.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl CredentialKind {
    /// Whether a client that has one of the two has the other: also a key with another id, algorithm or use.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key { jwk: one }, Self::Key { jwk: other }) => one.material() == other.material(),
            _ => self == other,
        }
    }
}

/// The SHA-256 digest of a client secret, in hexadecimal. It is not printed.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the digest. Compare them in constant time.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretDigest(…)")
    }
}

impl TryFrom<String> for SecretDigest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| "a SHA-256 digest has 64 hexadecimal digits")?;
        Ok(Self(bytes))
    }
}

impl From<SecretDigest> for String {
    fn from(digest: SecretDigest) -> Self {
        hex::encode(digest.0)
    }
}

impl Client {
    /// The groups that decide whether a person may use the client, and what its claims contain.
    pub fn named_groups(&self) -> impl Iterator<Item = &str> {
        let claims = self.claims.iter().flat_map(|claim| &claim.values).map(|value| &value.group);
        self.allowed_groups.iter().chain(claims).map(String::as_str)
    }

    /// The first rule that the client breaks: the rest of a sentence that starts with its id.
    pub(crate) fn fault(&self) -> Option<String> {
        self.id_fault()
            .or_else(|| self.list_fault())
            .or_else(|| self.group_fault())
            .or_else(|| self.exchange_fault())
            .or_else(|| self.lifetime_fault())
            .or_else(|| self.credential_fault())
    }

    fn id_fault(&self) -> Option<String> {
        client_id_fault(&self.client_id).map(ToOwned::to_owned)
    }

    fn list_fault(&self) -> Option<String> {
        if self.scopes.len() > MAX_SCOPES {
            return Some(format!("has more than {MAX_SCOPES} scopes"));
        }
        if self.audiences.len() > MAX_AUDIENCES {
            return Some(format!("has more than {MAX_AUDIENCES} audiences"));
        }
        let scopes =
            self.scopes.iter().find_map(|scope| Some(format!("has a scope that {}", scope_fault(scope)?)));
        let audiences = || {
            self.audiences
                .iter()
                .find_map(|name| Some(format!("has an audience that {}", audience_fault(name)?)))
        };
        let repeated = || {
            let distinct = |list: &[String]| list.iter().collect::<HashSet<_>>().len() == list.len();
            let grants = self.grant_types.iter().collect::<HashSet<_>>().len() == self.grant_types.len();
            (!distinct(&self.scopes) || !distinct(&self.audiences) || !grants)
                .then(|| "repeats a scope, an audience or a grant type".to_owned())
        };
        scopes.or_else(audiences).or_else(repeated)
    }

    fn group_fault(&self) -> Option<String> {
        if self.allowed_groups.len() > MAX_ALLOWED_GROUPS {
            return Some(format!("has more than {MAX_ALLOWED_GROUPS} allowed groups"));
        }
        if self.claims.len() > MAX_CLAIMS {
            return Some(format!("has more than {MAX_CLAIMS} claims"));
        }
        if self.claims.iter().map(GroupClaim::size).sum::<usize>() > MAX_CLAIMS_SIZE {
            return Some(format!("has claims that add more than {MAX_CLAIMS_SIZE} bytes to a token"));
        }
        let names: HashSet<_> = self.claims.iter().map(|claim| &claim.name).collect();
        if names.len() < self.claims.len() {
            return Some("has two claims of one name".to_owned());
        }
        let allowed = || {
            self.allowed_groups
                .iter()
                .find_map(|name| Some(format!("has an allowed group whose name {}", group_name_fault(name)?)))
        };
        self.claims.iter().find_map(GroupClaim::fault).or_else(allowed)
    }

    fn exchange_fault(&self) -> Option<String> {
        let from = &self.token_exchange_from;
        if from.len() > MAX_EXCHANGING_CLIENTS {
            return Some(format!("accepts exchanged tokens of more than {MAX_EXCHANGING_CLIENTS} clients"));
        }
        if let Some(fault) = from.iter().find_map(|id| client_id_fault(id)) {
            return Some(format!("accepts exchanged tokens of a client whose id {fault}"));
        }
        if from.iter().collect::<HashSet<_>>().len() < from.len() {
            return Some("repeats a client of which it accepts exchanged tokens".to_owned());
        }
        let is_scope = |permission| self.scopes.contains(permission);
        (!self.permissions.iter().all(is_scope))
            .then(|| "has a permission that is none of its scopes".to_owned())
    }

    fn lifetime_fault(&self) -> Option<String> {
        if !(MIN_ACCESS_TOKEN_TTL..=MAX_ACCESS_TOKEN_TTL).contains(&self.access_token_ttl) {
            return Some("has access tokens that live less than a minute or more than an hour".to_owned());
        }
        if !(MIN_ACCESS_TOKEN_TTL..=MAX_REFRESH_TOKEN_TTL).contains(&self.refresh_token_ttl) {
            return Some("has refresh tokens that live less than a minute or more than a year".to_owned());
        }
        None
    }

    fn credential_fault(&self) -> Option<String> {
        let is_allowed = |credential: &Credential| match credential.kind {
            CredentialKind::Secret { .. } | CredentialKind::Key { .. } => {
                self.client_type == ClientType::Confidential
            }
            CredentialKind::ServiceAccount { .. } => self.client_type == ClientType::Workload,
        };
        if !self.credentials.iter().all(is_allowed) {
            return Some("has a credential that clients of its type do not have".to_owned());
        }
        if let Some(fault) = self.key_fault().or_else(|| self.service_account_fault()) {
            return Some(fault);
        }
        let own_grants = [GrantType::ClientCredentials, GrantType::TokenExchange];
        if self.client_type == ClientType::Public
            && self.grant_types.iter().any(|grant| own_grants.contains(grant))
        {
            // RFC 6749 §4.4: only confidential clients may use it.
            return Some("is public and may not use grants that need authentication".to_owned());
        }
        None
    }

    fn key_fault(&self) -> Option<String> {
        let keys: Vec<_> = self.credentials.iter().filter_map(Credential::key).collect();
        if keys.len() > MAX_KEYS {
            return Some(format!("has more than {MAX_KEYS} keys"));
        }
        if let Some(reason) = keys.iter().find_map(|key| key.fault()) {
            return Some(format!("has a key that {reason}"));
        }
        let is_distinct = |names: Vec<&str>| names.iter().collect::<HashSet<_>>().len() == names.len();
        let names: Vec<_> = keys.iter().filter_map(|key| key.kid.as_deref()).collect();
        if keys.len() > 1 && names.len() < keys.len() {
            return Some("has several keys, of which one has no kid".to_owned());
        }
        let material = keys.iter().map(|key| key.material()).collect();
        (!is_distinct(names) || !is_distinct(material)).then(|| "repeats a key or a kid".to_owned())
    }

    fn service_account_fault(&self) -> Option<String> {
        let accounts: Vec<_> = self.credentials.iter().filter_map(Credential::service_account).collect();
        if accounts.len() > MAX_SERVICE_ACCOUNTS {
            return Some(format!("has more than {MAX_SERVICE_ACCOUNTS} service accounts"));
        }
        if accounts.iter().any(|(_, name)| *name == "default") {
            // Every pod without a ServiceAccount of its own has it.
            return Some(
                "has the service account default, which pods of any application may have".to_owned(),
            );
        }
        (accounts.iter().collect::<HashSet<_>>().len() < accounts.len())
            .then(|| "repeats a service account".to_owned())
    }
}

impl Credential {
    /// The key, if it is one.
    pub fn key(&self) -> Option<&PublicKey> {
        match &self.kind {
            CredentialKind::Key { jwk } => Some(jwk),
            CredentialKind::Secret { .. } | CredentialKind::ServiceAccount { .. } => None,
        }
    }

    /// The namespace and the name of the service account, if it is one.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        match &self.kind {
            CredentialKind::ServiceAccount { namespace, name } => Some((namespace, name)),
            CredentialKind::Secret { .. } | CredentialKind::Key { .. } => None,
        }
    }
}

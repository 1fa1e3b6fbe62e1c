//! What accounts may do, and what keeps attackers busy.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Whether and how people make accounts for themselves.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Whether people may register. Needs spec.email, since addresses are verified by mail.
    #[serde(default)]
    pub enabled: bool,
    /// Only addresses of these domains may register, such as example.com. Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(domain, domain.matches('^[A-Za-z0-9.-]+$'))")
        .message("spec.registration.emailDomains must hold domains such as example.com"))]
    pub email_domains: Vec<String>,
}

/// What accounts may do.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Accounts {
    /// Whether a login is allowed before the address is verified.
    #[serde(default)]
    pub unverified_login: bool,
    /// Whether people may delete their own accounts.
    #[serde(default)]
    pub self_deletion: bool,
    /// Whether an administrator may choose the first password of an account, or bring its hash, through the API. Without
    /// it accounts begin with an invitation by mail.
    #[serde(default = "yes")]
    pub admin_passwords: bool,
    /// The language of people who have not chosen one, such as en or de-AT.
    #[serde(default = "english")]
    #[schemars(length(min = 2, max = 35))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9-]+$')")
        .message("spec.accounts.defaultLocale must be a language tag such as en or pt-BR"))]
    pub default_locale: String,
}

fn yes() -> bool {
    true
}

fn english() -> String {
    "en".to_owned()
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            unverified_login: false,
            self_deletion: false,
            admin_passwords: yes(),
            default_locale: english(),
        }
    }
}

/// The audit of who did what.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// How many days its events are kept.
    #[serde(default = "a_year")]
    #[schemars(range(min = 1, max = 3660))]
    pub retention_days: i32,
}

fn a_year() -> i32 {
    365
}

impl Default for Audit {
    fn default() -> Self {
        Self { retention_days: a_year() }
    }
}

/// How fast an attacker may guess. What succeeds does not count.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RateLimits {
    /// Whether there are limits at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Failed attempts an hour on one account by devices that it does not know.
    #[serde(default = "per_account")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_account: i32,
    /// Failed attempts an hour from one IPv4 address or IPv6 /64.
    #[serde(default = "per_network")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_network: i32,
}

fn per_account() -> i32 {
    30
}

fn per_network() -> i32 {
    300
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { enabled: yes(), per_account: per_account(), per_network: per_network() }
    }
}

/// What programs authenticate with to introspect and revoke tokens (RFC 7662, RFC 7009), beside a superuser's token.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IntrospectionClient {
    /// The client's id.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._~-]+$')")
        .message("spec.introspectionClient.id may hold letters, digits and . _ ~ -"))]
    pub id: String,
    /// Where the client's secret is.
    pub secret_ref: ClientSecretRef,
}

/// One key of a Secret in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct ClientSecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[serde(default = "secret_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn secret_key() -> String {
    "secret".to_owned()
}

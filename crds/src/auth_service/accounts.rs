//! Accounts, the audit log, rate limits and the introspection client.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Self-registration.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Enables self-registration. Requires spec.email, because addresses are verified by e-mail.
    #[serde(default)]
    pub enabled: bool,
    /// The domains whose addresses may register, such as example.com. Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.all(domain, domain.matches('^[A-Za-z0-9.-]+$'))")
        .message("spec.registration.emailDomains must contain domains such as example.com"))]
    pub email_domains: Vec<String>,
    /// The number of days after which an account that was registered, and neither verified nor used, is deleted. They
    /// begin when its first verification link expires, a day after the registration.
    #[serde(default = "a_week")]
    #[schemars(range(min = 1, max = 3660))]
    pub unverified_retention_days: i32,
}

fn a_week() -> i32 {
    7
}

impl Default for Registration {
    fn default() -> Self {
        Self { enabled: false, email_domains: Vec::new(), unverified_retention_days: a_week() }
    }
}

/// Permissions, limits and defaults of accounts.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Accounts {
    /// Allows a login before the e-mail address is verified.
    #[serde(default)]
    pub unverified_login: bool,
    /// Allows users to delete their own accounts.
    #[serde(default)]
    pub self_deletion: bool,
    /// Allows administrators to set the first password of an account, or to import its hash, through the API.
    /// Otherwise the user of a new account receives an invitation by e-mail.
    #[serde(default = "yes")]
    pub admin_passwords: bool,
    /// The maximum number of active sessions of one account. A login beyond it ends the oldest session.
    #[serde(default = "max_sessions")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_sessions: i32,
    /// A Secret with the text that the system from which accounts were imported appended to each password before
    /// bcrypt, such as the pepper of Devise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_password_pepper_secret_ref: Option<PepperSecretRef>,
    /// The language of users who have not set one, such as en or de-AT.
    #[serde(default = "english")]
    #[schemars(length(min = 2, max = 35))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9-]+$')")
        .message("spec.accounts.defaultLocale must be a language tag such as en or pt-BR"))]
    pub default_locale: String,
}

fn yes() -> bool {
    true
}

fn max_sessions() -> i32 {
    100
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
            max_sessions: max_sessions(),
            imported_password_pepper_secret_ref: None,
            default_locale: english(),
        }
    }
}

/// One key of a Secret in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct PepperSecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data. Default: pepper.
    #[serde(default = "pepper_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn pepper_key() -> String {
    "pepper".to_owned()
}

/// The audit log.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// The number of days for which events are retained.
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

/// Limits on attempts to log in. Successful attempts count only for loginsPerAccount.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RateLimits {
    /// Enables the limits.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Failed attempts per hour on one account from devices that have not logged in to it before.
    #[serde(default = "per_account")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_account: i32,
    /// Failed attempts per hour from one IPv4 address or IPv6 /64 network; ten times as many from an IPv6 /48.
    #[serde(default = "per_network")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_network: i32,
    /// Successful logins per hour of one account. Programs that log in more often should use their refresh token.
    #[serde(default = "logins_per_account")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub logins_per_account: i32,
}

fn logins_per_account() -> i32 {
    600
}

fn per_account() -> i32 {
    30
}

fn per_network() -> i32 {
    300
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            enabled: yes(),
            per_account: per_account(),
            per_network: per_network(),
            logins_per_account: logins_per_account(),
        }
    }
}

/// The client that may introspect and revoke tokens (RFC 7662, RFC 7009), in addition to superusers.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IntrospectionClient {
    /// The client id.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9._~-]+$')")
        .message("spec.introspectionClient.id may contain letters, digits and . _ ~ -"))]
    pub id: String,
    /// The Secret that contains the client secret.
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

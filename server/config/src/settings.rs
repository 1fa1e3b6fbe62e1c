//! The types of the validated settings.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use ipnet::IpNet;
use url::Url;

use crate::{PasswordPolicy, SecretSource, WorkloadIdentity};

/// A whole number of minutes, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes(u32);

impl Minutes {
    /// The maximum lifetime: ten years, so that adding it to a date cannot overflow.
    pub const MAX: u32 = 10 * 366 * 24 * 60;

    /// Returns `None` unless `minutes` is between 1 and [`Minutes::MAX`].
    pub fn new(minutes: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&minutes).then_some(Self(minutes))
    }

    /// The number of minutes.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number of seconds, as in `expires_in`.
    pub fn as_seconds(self) -> i64 {
        i64::from(self.0) * 60
    }
}

/// All settings of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// PostgreSQL URL.
    pub database_url: SecretSource,
    /// The most connections to PostgreSQL of one replica.
    pub database_pool_size: PoolSize,
    /// The client certificate for PostgreSQL, if it requires one.
    pub database_client_certificate: Option<ClientCertificate>,
    /// Redis or Valkey URL.
    pub redis_url: SecretSource,
    /// The client certificate for Redis, if it requires one.
    pub redis_client_certificate: Option<ClientCertificate>,
    /// A PEM file of certificate authorities to trust in addition to the system's, for connections to PostgreSQL,
    /// Redis and the SMTP server.
    pub extra_ca_file: Option<PathBuf>,
    /// The certificate of the API port. Without one the API is served without TLS.
    pub tls: Option<ClientCertificate>,
    /// The address of the API.
    pub listen_addr: SocketAddr,
    /// The address of the health, readiness, metrics and status endpoints.
    pub management_addr: SocketAddr,
    /// `iss` of every token (RFC 7519 §4.1.1), without a trailing slash.
    pub issuer_url: Url,
    /// `aud` of every token; the issuer if unset.
    pub token_audience: Option<String>,
    /// The private JWK Set, which the server reloads when it changes.
    pub jwt_keys_file: PathBuf,
    /// The registry of OAuth clients, which the server reloads when it changes. The file need not exist.
    pub clients_file: Option<PathBuf>,
    /// How workloads authenticate with tokens of service accounts, if they may.
    pub workload_identity: Option<WorkloadIdentity>,
    /// The lifetime of access tokens.
    pub access_token_lifetime: Minutes,
    /// The lifetime of refresh tokens.
    pub refresh_token_lifetime: Minutes,
    /// The e-mail settings, if `EMAILS_ENABLED` is true.
    pub email: Option<Email>,
    /// The base of the links in e-mails; the issuer if unset.
    pub public_url: Option<Url>,
    /// The superuser that is created at startup if none exists.
    pub first_superuser: Option<FirstSuperuser>,
    /// The settings of self-registration.
    pub registration: Registration,
    /// The settings of accounts.
    pub accounts: Accounts,
    /// The rules for new passwords.
    pub password_policy: PasswordPolicy,
    /// How many passwords are hashed at the same time; derived from the cores and the memory limit if unset.
    pub password_hash_workers: Option<NonZeroUsize>,
    /// A folder with e-mail templates that override the built-in ones.
    pub mail_templates_dir: Option<PathBuf>,
    /// The retention of audit events.
    pub audit_retention: Days,
    /// Whether each replica runs a login probe every few minutes. Off by default.
    pub login_probe: bool,
    /// The rate limits of attempts to authenticate.
    pub rate_limits: RateLimits,
    /// The maximum number of open connections to the API port of one replica.
    pub max_connections: MaxConnections,
    /// The networks of the proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins (scheme, host and port) whose pages may call the API from a browser or a web view. None by default.
    pub cors_allowed_origins: Vec<String>,
    /// The credentials with which resource servers introspect and revoke tokens. A superuser's token also allows it.
    pub introspection_client: Option<IntrospectionClient>,
    /// The text that the system from which accounts were imported appended to each password before bcrypt, such as
    /// Devise's pepper.
    pub imported_password_pepper: Option<SecretSource>,
    /// The endpoint for traces (OTLP over gRPC). The exporter reads the other `OTEL_*` variables itself.
    pub otlp_endpoint: Option<String>,
    /// The minimum severity of log lines.
    pub log_level: LogLevel,
    /// The format of log lines.
    pub log_format: LogFormat,
}

impl Settings {
    /// The value of `iss`, without a trailing slash.
    pub fn issuer(&self) -> &str {
        self.issuer_url.as_str().trim_end_matches('/')
    }

    /// The value of `aud`.
    pub fn audience(&self) -> &str {
        self.token_audience.as_deref().unwrap_or_else(|| self.issuer())
    }

    /// The base of the links in e-mails, without a trailing slash.
    pub fn public_base(&self) -> &str {
        self.public_url.as_ref().map_or_else(|| self.issuer(), |url| url.as_str().trim_end_matches('/'))
    }
}

/// A client certificate for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// A PEM file with the certificate and its intermediate certificates.
    pub certificate: PathBuf,
    /// A PEM file with the private key.
    pub key: PathBuf,
}

/// The settings of e-mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The SMTP server.
    pub smtp: Smtp,
    /// The address in `From`, in its canonical form.
    pub from_address: String,
    /// The display name in `From`.
    pub from_name: Option<String>,
}

/// The SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// The host name or IP address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The encryption of the connection.
    pub security: SmtpSecurity,
    /// The credentials, if the server requires a login.
    pub credentials: Option<SmtpCredentials>,
    /// The name of the client in `EHLO` (RFC 5321 §4.1.1.1): a domain name, or an IP address, with or without brackets;
    /// the host of [`Settings::public_base`] if unset.
    pub ehlo_name: Option<String>,
}

/// The credentials of the SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpCredentials {
    /// `SMTP_USER`.
    pub user: SecretSource,
    /// `SMTP_PASSWORD`.
    pub password: SecretSource,
}

/// `SMTP_TLS` and `SMTP_SSL` as one choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// Mandatory STARTTLS (RFC 3207), without a fallback to plain text.
    StartTls,
    /// Implicit TLS (RFC 8314 §3).
    Implicit,
    /// No encryption, for a relay on the same host or for tests.
    None,
}

/// The superuser that is created at startup if none exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSuperuser {
    /// `FIRST_SUPERUSER`.
    pub username: String,
    /// `FIRST_SUPERUSER_EMAIL`.
    pub email: String,
    /// `FIRST_SUPERUSER_PASSWORD`.
    pub password: SecretSource,
}

/// The settings of self-registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// `REGISTRATION_ENABLED`, off by default. It requires `EMAILS_ENABLED`.
    pub enabled: bool,
    /// The domains (in lower case) whose addresses may register. An empty list allows every domain.
    pub email_domains: Vec<String>,
    /// How long an account is kept that was registered and neither verified nor used, after its first verification link has
    /// expired.
    pub unverified_retention: Days,
}

impl Default for Registration {
    fn default() -> Self {
        Self { enabled: false, email_domains: Vec::new(), unverified_retention: Days(7) }
    }
}

/// The settings of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// Whether a login is allowed before the address is verified. Off by default.
    pub unverified_login: bool,
    /// Whether users may delete their accounts. Off by default.
    pub self_deletion: bool,
    /// Whether an administrator may set the first password of an account, or its hash, with the API. On by default.
    pub admin_passwords: bool,
    /// The maximum number of active sessions of an account. A login beyond it ends the oldest one.
    pub max_sessions: u32,
    /// The language of users who have not chosen one, as a BCP 47 tag.
    pub default_locale: String,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            unverified_login: false,
            self_deletion: false,
            admin_passwords: true,
            max_sessions: 100,
            default_locale: "en".to_owned(),
        }
    }
}

/// The rate limits of attempts to authenticate. Successful attempts count only for `logins_per_account`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// On by default.
    pub enabled: bool,
    /// The attempts per hour on one account from devices that have not logged in to it before.
    pub per_account: u32,
    /// The attempts per hour from one IPv4 address or IPv6 /64.
    pub per_network: u32,
    /// The successful logins per hour of one account.
    pub logins_per_account: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { enabled: true, per_account: 30, per_network: 300, logins_per_account: 600 }
    }
}

/// A maximum number of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxConnections(u32);

impl Default for MaxConnections {
    /// With request heads of 32 KiB on all connections this is 64 MiB.
    fn default() -> Self {
        Self(2_000)
    }
}

impl MaxConnections {
    /// The minimum.
    pub const MIN: u32 = 10;
    /// The maximum.
    pub const MAX: u32 = 1_000_000;

    /// Returns `None` unless `number` is between [`MaxConnections::MIN`] and [`MaxConnections::MAX`].
    pub fn new(number: u32) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&number).then_some(Self(number))
    }

    /// The number of connections.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// The credentials of resource servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrospectionClient {
    /// `INTROSPECTION_CLIENT_ID`.
    pub id: String,
    /// `INTROSPECTION_CLIENT_SECRET`.
    pub secret: SecretSource,
}

/// A whole number of days, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Days(u32);

impl Default for Days {
    fn default() -> Self {
        Self(365)
    }
}

impl Days {
    /// The maximum: ten years.
    pub const MAX: u32 = 3660;

    /// Returns `None` unless `days` is between 1 and [`Days::MAX`].
    pub fn new(days: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&days).then_some(Self(days))
    }

    /// The number of days.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// The most connections of one replica to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolSize(u32);

impl Default for PoolSize {
    /// Four replicas (three, and one more during a rollout) leave some of PostgreSQL's default of 100 to others.
    fn default() -> Self {
        Self(20)
    }
}

impl PoolSize {
    /// Two hold advisory locks for background tasks while others work.
    pub const MIN: u32 = 4;
    /// More than a PostgreSQL server serves well.
    pub const MAX: u32 = 1000;

    /// `size` when it lies between [`PoolSize::MIN`] and [`PoolSize::MAX`].
    pub fn new(size: u32) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&size).then_some(Self(size))
    }

    /// The number of connections.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// The minimum severity of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are standard log levels")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Plain text, for terminals.
    Text,
}

impl LogLevel {
    /// The value of the variable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl LogFormat {
    /// The value of the variable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

//! The settings as types: what was parsed is already good.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use url::Url;

use crate::{PasswordPolicy, SecretSource};

/// A whole number of minutes, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minutes(u32);

impl Minutes {
    /// The longest lifetime that can be set: ten years, so that adding one to any date cannot overflow.
    pub const MAX: u32 = 10 * 366 * 24 * 60;

    /// `minutes` when it lies between 1 and [`Minutes::MAX`].
    pub fn new(minutes: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&minutes).then_some(Self(minutes))
    }

    /// The number of minutes.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The same in seconds, as `expires_in` counts.
    pub fn as_seconds(self) -> i64 {
        i64::from(self.0) * 60
    }
}

/// Everything the server can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// PostgreSQL URL.
    pub database_url: SecretSource,
    /// The most connections to PostgreSQL of one replica.
    pub database_pool_size: PoolSize,
    /// Redis or Valkey URL.
    pub redis_url: SecretSource,
    /// A PEM file of certificate authorities that PostgreSQL, Redis and the SMTP server may have their certificates from,
    /// beside the public ones.
    pub extra_ca_file: Option<PathBuf>,
    /// Address of the API.
    pub listen_addr: SocketAddr,
    /// Address of health, readiness, metrics and status.
    pub management_addr: SocketAddr,
    /// `iss` of every token (RFC 7519 §4.1.1), without a trailing slash.
    pub issuer_url: Url,
    /// `aud` of every token; the issuer when unset.
    pub token_audience: Option<String>,
    /// The private JWK Set, re-read when it changes.
    pub jwt_keys_file: PathBuf,
    /// Lifetime of an access token.
    pub access_token_lifetime: Minutes,
    /// Lifetime of a refresh token.
    pub refresh_token_lifetime: Minutes,
    /// Mail, when `EMAILS_ENABLED`.
    pub email: Option<Email>,
    /// Base of the links in mail; the issuer when unset.
    pub public_url: Option<Url>,
    /// The account made at start when no superuser exists.
    pub first_superuser: Option<FirstSuperuser>,
    /// Whether and how people make accounts for themselves.
    pub registration: Registration,
    /// What accounts may do.
    pub accounts: Accounts,
    /// Which new passwords are good enough.
    pub password_policy: PasswordPolicy,
    /// A folder whose files replace the built-in texts of mail.
    pub mail_templates_dir: Option<PathBuf>,
    /// How long audit events are kept.
    pub audit_retention: Days,
    /// Whether each replica tries a login out every few minutes. Off by default.
    pub login_probe: bool,
    /// How fast an attacker may guess.
    pub rate_limits: RateLimits,
    /// The networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins (scheme, host and port) whose pages may call the API from a browser. None by default.
    pub cors_allowed_origins: Vec<String>,
    /// What resource servers authenticate with to introspect and revoke tokens, beside a superuser's token.
    pub introspection_client: Option<IntrospectionClient>,
    /// Where traces go (OTLP over gRPC); the exporter reads the other `OTEL_*` variables itself.
    pub otlp_endpoint: Option<String>,
    /// The least severe level that is logged.
    pub log_level: LogLevel,
    /// JSON for machines, text for people.
    pub log_format: LogFormat,
}

impl Settings {
    /// The issuer as it stands in tokens: no trailing slash, so that `iss` is the string that was configured.
    pub fn issuer(&self) -> &str {
        self.issuer_url.as_str().trim_end_matches('/')
    }

    /// The audience as it stands in tokens.
    pub fn audience(&self) -> &str {
        self.token_audience.as_deref().unwrap_or_else(|| self.issuer())
    }

    /// The base of links in mail, without a trailing slash.
    pub fn public_base(&self) -> &str {
        self.public_url.as_ref().map_or_else(|| self.issuer(), |url| url.as_str().trim_end_matches('/'))
    }
}

/// How mail leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The SMTP server.
    pub smtp: Smtp,
    /// Address in `From`.
    pub from_address: String,
    /// Display name in `From`.
    pub from_name: Option<String>,
}

/// The SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// Login, if the server asks for one.
    pub credentials: Option<SmtpCredentials>,
}

/// A login at the SMTP server.
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
    /// STARTTLS, required (RFC 3207): never falls back to clear text.
    StartTls,
    /// TLS from the first byte (RFC 8314 §3).
    Implicit,
    /// Clear text; for a relay on the same host or a test.
    None,
}

/// The account made at start when no superuser exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstSuperuser {
    /// `FIRST_SUPERUSER`.
    pub username: String,
    /// `FIRST_SUPERUSER_EMAIL`.
    pub email: String,
    /// `FIRST_SUPERUSER_PASSWORD`.
    pub password: SecretSource,
}

/// Whether and how people make accounts for themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// `REGISTRATION_ENABLED`, off by default. Needs mail.
    pub enabled: bool,
    /// Only addresses of these domains (lower case) may register; empty: any.
    pub email_domains: Vec<String>,
}

/// What accounts may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// Whether a login is allowed before the address is verified. Off by default.
    pub unverified_login: bool,
    /// Whether people may delete their own accounts. Off by default.
    pub self_deletion: bool,
    /// Whether an administrator may choose the first password of an account, or bring its hash, through the API. On by
    /// default.
    pub admin_passwords: bool,
    /// The language of people who have not chosen one: a BCP 47 tag.
    pub default_locale: String,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            unverified_login: false,
            self_deletion: false,
            admin_passwords: true,
            default_locale: "en".to_owned(),
        }
    }
}

/// How fast an attacker may guess; what succeeds does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// On by default.
    pub enabled: bool,
    /// Attempts an hour on one account by devices that it does not know.
    pub per_account: u32,
    /// Attempts an hour from one IPv4 address or IPv6 /64.
    pub per_network: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { enabled: true, per_account: 30, per_network: 300 }
    }
}

/// What resource servers authenticate with.
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
    /// A year.
    fn default() -> Self {
        Self(365)
    }
}

impl Days {
    /// Ten years.
    pub const MAX: u32 = 3660;

    /// `days` when it lies between 1 and [`Days::MAX`].
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

/// The least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the field's standard words")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person's terminal.
    Text,
}

impl LogLevel {
    /// The name as the variable spells it.
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
    /// The name as the variable spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

//! The settings of the Latchkey auth server.
//!
//! [`Settings`] defines all environment variables. The server parses them with [`Settings::from_environment`]. The
//! operator builds [`Settings`] from an `AuthService` and renders them with [`Settings::to_variables`]. This crate
//! does no I/O: a secret in a file is represented by its path ([`SecretSource::File`]), and the server reads the
//! file.

pub mod account_rules;
mod domain_name;
mod environment;
mod error;
mod forbidden_words;
mod given;
mod hash_workers;
mod log_line;
mod new_password;
mod parse;
mod parse_accounts;
mod password_policy;
mod postgres_url;
mod redis_url;
mod references;
mod render;
mod secret;
mod settings;
pub mod variables;
mod web_origin;
mod workload_identity;

pub use domain_name::displayed_domain;
pub use environment::Environment;
pub use error::{SettingsError, SettingsErrors};
pub use given::check_secret;
pub use hash_workers::{BASE_MEMORY, HASH_MEMORY, HashLimits};
pub use log_line::{BoundedLines, LONGEST_LINE, shorten_text};
pub use new_password::PasswordRefusal;
pub use password_policy::{PasswordLength, PasswordPolicy};
pub use postgres_url::{POSTGRES_PORT, PostgresAddress, PostgresHost, PostgresUrl, RootCertificate, SslMode};
pub use redis_url::{RedisLogin, SentinelUrl};
pub use references::References;
pub use secret::{SecretSource, SecretText};
pub use settings::{
    Accounts, ClientCertificate, Days, Email, FirstSuperuser, IntrospectionClient, LogFormat, LogLevel,
    MaxConnections, Minutes, PoolSize, RateLimits, Registration, Settings, Smtp, SmtpCredentials,
    SmtpSecurity,
};
pub use web_origin::parse_web_origin;
pub use workload_identity::WorkloadIdentity;

//! The settings contract of the Latchkey auth server.
//!
//! One type, [`Settings`], knows every environment variable. The server reads it with
//! [`Settings::from_environment`]; the operator fills it from an `AuthService` and renders it with
//! [`Settings::to_variables`]. Nothing here does I/O: a secret that lives in a file is carried as its path
//! ([`SecretSource::File`]) and read by the server.

pub mod account_rules;
mod environment;
mod error;
mod given;
mod log_line;
mod parse;
mod parse_accounts;
mod password_policy;
mod references;
mod render;
mod secret;
mod settings;
pub mod variables;

pub use environment::Environment;
pub use error::{SettingsError, SettingsErrors};
pub use given::check_secret;
pub use log_line::{BoundedLines, LONGEST_LINE, shorten_text};
pub use password_policy::{PasswordLength, PasswordPolicy};
pub use references::References;
pub use secret::{SecretSource, SecretText};
pub use settings::{
    Accounts, Days, Email, FirstSuperuser, IntrospectionClient, LogFormat, LogLevel, Minutes, PoolSize,
    RateLimits, Registration, Settings, Smtp, SmtpCredentials, SmtpSecurity,
};

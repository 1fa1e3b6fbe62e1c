//! Credentials from Secrets.

use latchkey_config::SecretText;

/// The credentials for the SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpLogin {
    /// User name.
    pub username: SecretText,
    /// Password.
    pub password: SecretText,
}

/// The administrator of `spec.bootstrapAdmin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapAdmin {
    /// User name.
    pub username: String,
    /// Mail address.
    pub email: String,
    /// Password; only its hash is used, because the pods mount the Secret itself.
    pub password: SecretText,
}

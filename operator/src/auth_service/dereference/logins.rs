//! Credentials from Secrets.

use latchkey_config::SecretText;

/// The credentials for the SMTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SmtpLogin {
    pub username: SecretText,
    pub password: SecretText,
}

/// A client certificate and its private key, in PEM form. Only checked, because the pods mount the Secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub certificate: SecretText,
    pub private_key: SecretText,
}

/// The administrator of `spec.bootstrapAdmin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootstrapAdmin {
    pub username: String,
    pub email: String,
    /// Password; only its hash is used, because the pods mount the Secret itself.
    pub password: SecretText,
}

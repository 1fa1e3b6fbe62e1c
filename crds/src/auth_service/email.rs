//! E-mail, and the first superuser.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SecretName, is_default};

/// E-mail for password recovery, address verification and invitations.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.enabled || (has(self.from) && has(self.from.address))")
    .message("spec.email.from.address is required when spec.email.enabled is true"))]
#[x_kube(validation = Rule::new("!self.enabled || (has(self.smtp) && has(self.smtp.host))")
    .message("spec.email.smtp.host is required when spec.email.enabled is true"))]
pub struct Email {
    /// Enables e-mail. Without it, password recovery returns 503.
    #[serde(default)]
    pub enabled: bool,
    /// The sender.
    #[serde(default, skip_serializing_if = "is_default")]
    pub from: From,
    /// The SMTP server.
    #[serde(default, skip_serializing_if = "is_default")]
    pub smtp: Smtp,
    /// The base URL of links in e-mails. Default: the issuer.
    #[serde(rename = "publicURL", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/?#@\\\\s]+(/[^?#\\\\s]*)?$') && isURL(self)")
        .message("spec.email.publicURL must be an http or https URL without user, query and fragment, such as https://auth.example.com"))]
    pub public_url: Option<String>,
    /// A ConfigMap with custom templates: KIND.LANGUAGE.txt, KIND.LANGUAGE.html and layout.html. A change restarts the
    /// pods with a rolling update, because the server reads the templates at startup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates_config_map_ref: Option<ConfigMapName>,
}

/// A ConfigMap in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapName {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The sender of e-mails.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct From {
    /// The display name, such as Example Accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = Rule::new("!self.matches('[\\\\r\\\\n]')")
        .message("spec.email.from.name must be one line"))]
    pub name: Option<String>,
    /// The e-mail address, such as no-reply@example.com.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254))]
    #[x_kube(validation = Rule::new("self.matches('^[^@\\\\s<>]+@[^@\\\\s<>]+$')")
        .message("spec.email.from.address must be an e-mail address such as no-reply@example.com"))]
    pub address: Option<String>,
}

/// The SMTP server.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Smtp {
    /// The host name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("!self.matches('[\\\\s/@]')")
        .message("spec.email.smtp.host must be a host name or an address, without scheme and port"))]
    pub host: Option<String>,
    /// The TCP port: usually 587 for starttls, 465 for tls, 25 for none.
    #[serde(default = "submission_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The transport security of the connection.
    #[serde(default)]
    pub security: SmtpSecurity,
    /// The credentials, if the SMTP server requires authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SmtpCredentialsRef>,
    /// The name with which the server introduces itself (EHLO): a domain name or an IP address. Default: the host of
    /// spec.email.publicURL, or of the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("!self.matches('[\\\\s/@]')")
        .message("spec.email.smtp.ehloName must be a domain name or an IP address"))]
    pub ehlo_name: Option<String>,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: None,
            port: submission_port(),
            security: SmtpSecurity::default(),
            credentials_secret_ref: None,
            ehlo_name: None,
        }
    }
}

fn submission_port() -> i32 {
    587
}

/// The transport security of the connection to the SMTP server.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// Mandatory STARTTLS: the connection fails if the server does not offer it.
    #[default]
    StartTls,
    /// Implicit TLS.
    Tls,
    /// No encryption; for a relay on the same network, or for tests.
    None,
}

/// The credentials for the SMTP server: two keys of a Secret in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SmtpCredentialsRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key that contains the username.
    #[serde(default = "username_key")]
    #[schemars(length(min = 1, max = 253))]
    pub username_key: String,
    /// The key that contains the password.
    #[serde(default = "password_key")]
    #[schemars(length(min = 1, max = 253))]
    pub password_key: String,
}

fn username_key() -> String {
    "username".to_owned()
}

fn password_key() -> String {
    "password".to_owned()
}

/// The first superuser.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapAdmin {
    /// A Secret in the same namespace with the keys username, email and password.
    pub secret_ref: SecretName,
}

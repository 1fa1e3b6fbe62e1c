//! The settings that the server validates further, for example by opening a file.

use std::path::PathBuf;

use url::Url;

use crate::SecretSource;
use crate::settings::{ClientCertificate, Email, FirstSuperuser, IntrospectionClient, PoolSize, Settings};

/// The settings that the server validates further. A field is `None`, or its default, if its variables are not set or not valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// `DATABASE_URL`
    pub database_url: Option<SecretSource>,
    /// `DATABASE_POOL_SIZE`
    pub database_pool_size: PoolSize,
    /// `DATABASE_CLIENT_CERT_FILE` and `DATABASE_CLIENT_KEY_FILE`
    pub database_client_certificate: Option<ClientCertificate>,
    /// `REDIS_URL`
    pub redis_url: Option<SecretSource>,
    /// `REDIS_CLIENT_CERT_FILE` and `REDIS_CLIENT_KEY_FILE`
    pub redis_client_certificate: Option<ClientCertificate>,
    /// `EXTRA_CA_FILE`
    pub extra_ca_file: Option<PathBuf>,
    /// `TLS_CERT_FILE` and `TLS_KEY_FILE`
    pub tls: Option<ClientCertificate>,
    /// `JWT_KEYS_FILE`
    pub jwt_keys_file: Option<PathBuf>,
    /// `CLIENTS_FILE`
    pub clients_file: Option<PathBuf>,
    /// The SMTP settings, if `EMAILS_ENABLED` is true.
    pub email: Option<Email>,
    /// `SMTP_EHLO_NAME`, or its default: the host of `PUBLIC_URL` or of `ISSUER_URL`.
    pub ehlo_name: Option<String>,
    /// `MAIL_TEMPLATES_DIR`
    pub mail_templates_dir: Option<PathBuf>,
    /// The `FIRST_SUPERUSER` variables.
    pub first_superuser: Option<FirstSuperuser>,
    /// `INTROSPECTION_CLIENT_ID` and its secret.
    pub introspection_client: Option<IntrospectionClient>,
    /// `IMPORTED_PASSWORD_PEPPER`
    pub imported_password_pepper: Option<SecretSource>,
}

impl From<&Settings> for References {
    fn from(settings: &Settings) -> Self {
        Self {
            database_url: Some(settings.database_url.clone()),
            database_pool_size: settings.database_pool_size,
            database_client_certificate: settings.database_client_certificate.clone(),
            redis_url: Some(settings.redis_url.clone()),
            redis_client_certificate: settings.redis_client_certificate.clone(),
            extra_ca_file: settings.extra_ca_file.clone(),
            tls: settings.tls.clone(),
            jwt_keys_file: Some(settings.jwt_keys_file.clone()),
            clients_file: settings.clients_file.clone(),
            email: settings.email.clone(),
            ehlo_name: ehlo_name(
                settings.email.as_ref(),
                settings.public_url.as_ref(),
                Some(&settings.issuer_url),
            ),
            mail_templates_dir: settings.mail_templates_dir.clone(),
            first_superuser: settings.first_superuser.clone(),
            introspection_client: settings.introspection_client.clone(),
            imported_password_pepper: settings.imported_password_pepper.clone(),
        }
    }
}

/// The name in `EHLO`. Many SMTP servers refuse a client that names itself by an address of the loopback interface.
pub(crate) fn ehlo_name(
    email: Option<&Email>,
    public_url: Option<&Url>,
    issuer_url: Option<&Url>,
) -> Option<String> {
    let set = email.and_then(|email| email.smtp.ehlo_name.clone());
    set.or_else(|| public_url.or(issuer_url)?.host_str().map(str::to_owned))
}

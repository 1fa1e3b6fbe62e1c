//! The settings that the server validates further, for example by opening a file.

use std::path::PathBuf;

use crate::SecretSource;
use crate::settings::{Email, FirstSuperuser, IntrospectionClient, Settings};

/// The settings that the server validates further. A field is `None` if its variables are not set or not valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// `DATABASE_URL`
    pub database_url: Option<SecretSource>,
    /// `REDIS_URL`
    pub redis_url: Option<SecretSource>,
    /// `EXTRA_CA_FILE`
    pub extra_ca_file: Option<PathBuf>,
    /// `JWT_KEYS_FILE`
    pub jwt_keys_file: Option<PathBuf>,
    /// The SMTP settings, if `EMAILS_ENABLED` is true.
    pub email: Option<Email>,
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
            redis_url: Some(settings.redis_url.clone()),
            extra_ca_file: settings.extra_ca_file.clone(),
            jwt_keys_file: Some(settings.jwt_keys_file.clone()),
            email: settings.email.clone(),
            mail_templates_dir: settings.mail_templates_dir.clone(),
            first_superuser: settings.first_superuser.clone(),
            introspection_client: settings.introspection_client.clone(),
            imported_password_pepper: settings.imported_password_pepper.clone(),
        }
    }
}

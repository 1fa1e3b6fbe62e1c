//! [`Settings`] -> variables.

use std::collections::BTreeMap;

use crate::settings::{Settings, SmtpSecurity};
use crate::variables as v;
use crate::{Email, SecretSource};

impl Settings {
    /// Every variable of these settings, so that [`Settings::from_variables`] gives them back unchanged.
    /// A secret held inline is rendered inline: the operator only ever holds [`SecretSource::File`].
    pub fn to_variables(&self) -> BTreeMap<String, String> {
        // Taken apart without `..`, so that a setting somebody adds cannot be forgotten here.
        let Self {
            database_url,
            redis_url,
            listen_addr,
            management_addr,
            issuer_url,
            token_audience,
            jwt_keys_file,
            access_token_lifetime,
            refresh_token_lifetime,
            email,
            public_url,
            first_superuser,
            otlp_endpoint,
            log_level,
            log_format,
        } = self;
        let mut variables = Variables::default();
        variables.secret(v::DATABASE_URL, database_url);
        variables.secret(v::REDIS_URL, redis_url);
        variables.set(v::LISTEN_ADDR, listen_addr);
        variables.set(v::MANAGEMENT_ADDR, management_addr);
        variables.set(v::ISSUER_URL, issuer_url.as_str().trim_end_matches('/'));
        variables.set_some(v::TOKEN_AUDIENCE, token_audience.as_ref());
        variables.set(v::JWT_KEYS_FILE, jwt_keys_file.display());
        variables.set(v::ACCESS_TOKEN_EXPIRE_MINUTES, access_token_lifetime.get());
        variables.set(v::REFRESH_TOKEN_EXPIRE_MINUTES, refresh_token_lifetime.get());
        variables.set(v::EMAILS_ENABLED, email.is_some());
        if let Some(email) = email {
            variables.email(email);
        }
        variables.set_some(v::PUBLIC_URL, public_url.as_ref().map(|url| url.as_str().trim_end_matches('/')));
        if let Some(superuser) = first_superuser {
            variables.set(v::FIRST_SUPERUSER, &superuser.username);
            variables.set(v::FIRST_SUPERUSER_EMAIL, &superuser.email);
            variables.secret(v::FIRST_SUPERUSER_PASSWORD, &superuser.password);
        }
        variables.set_some(v::OTEL_EXPORTER_OTLP_ENDPOINT, otlp_endpoint.as_ref());
        variables.set(v::LOG_LEVEL, log_level.as_str());
        variables.set(v::LOG_FORMAT, log_format.as_str());
        variables.0
    }
}

#[derive(Default)]
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.insert(name.to_owned(), format!("{value}"));
    }

    fn set_some(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    fn secret(&mut self, name: &str, source: &SecretSource) {
        match source {
            SecretSource::Inline(text) => self.set(name, text.expose()),
            SecretSource::File(path) => self.set(&v::file_variant(name), path.display()),
        }
    }

    fn email(&mut self, email: &Email) {
        self.set(v::SMTP_HOST, &email.smtp.host);
        self.set(v::SMTP_PORT, email.smtp.port);
        self.set(v::SMTP_TLS, email.smtp.security == SmtpSecurity::StartTls);
        self.set(v::SMTP_SSL, email.smtp.security == SmtpSecurity::Implicit);
        if let Some(credentials) = &email.smtp.credentials {
            self.secret(v::SMTP_USER, &credentials.user);
            self.secret(v::SMTP_PASSWORD, &credentials.password);
        }
        self.set(v::EMAILS_FROM_EMAIL, &email.from_address);
        self.set_some(v::EMAILS_FROM_NAME, email.from_name.as_ref());
    }
}

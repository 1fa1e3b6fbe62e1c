//! Renders [`Settings`] as variables.

use std::collections::BTreeMap;

use crate::settings::{ClientCertificate, Settings, SmtpSecurity};
use crate::variables as v;
use crate::{Email, Registration, SecretSource, WorkloadIdentity};

impl Settings {
    /// Renders all variables; [`Settings::from_variables`] parses them into equal settings. Inline secrets are rendered
    /// inline, but the operator only uses [`SecretSource::File`].
    pub fn to_variables(&self) -> BTreeMap<String, String> {
        // Destructured without `..`, so that the compiler reports a new setting that is missing here.
        let Self {
            database_url,
            database_pool_size,
            database_client_certificate,
            redis_url,
            redis_client_certificate,
            extra_ca_file,
            tls,
            listen_addr,
            management_addr,
            issuer_url,
            token_audience,
            jwt_keys_file,
            clients_file,
            workload_identity,
            access_token_lifetime,
            refresh_token_lifetime,
            email,
            public_url,
            first_superuser,
            registration,
            accounts,
            password_policy,
            password_hash_workers,
            mail_templates_dir,
            audit_retention,
            login_probe,
            rate_limits,
            max_connections,
            trusted_proxies,
            cors_allowed_origins,
            introspection_client,
            imported_password_pepper,
            otlp_endpoint,
            log_level,
            log_format,
        } = self;
        let mut variables = Variables::default();
        variables.secret(v::DATABASE_URL, database_url);
        variables.set(v::DATABASE_POOL_SIZE, database_pool_size.get());
        variables.certificate(
            [v::DATABASE_CLIENT_CERT_FILE, v::DATABASE_CLIENT_KEY_FILE],
            database_client_certificate.as_ref(),
        );
        variables.secret(v::REDIS_URL, redis_url);
        variables.certificate(
            [v::REDIS_CLIENT_CERT_FILE, v::REDIS_CLIENT_KEY_FILE],
            redis_client_certificate.as_ref(),
        );
        variables.set_some(v::EXTRA_CA_FILE, extra_ca_file.as_ref().map(|path| path.display()));
        variables.certificate([v::TLS_CERT_FILE, v::TLS_KEY_FILE], tls.as_ref());
        variables.set(v::LISTEN_ADDR, listen_addr);
        variables.set(v::MANAGEMENT_ADDR, management_addr);
        variables.set(v::ISSUER_URL, issuer_url.as_str().trim_end_matches('/'));
        variables.set_some(v::TOKEN_AUDIENCE, token_audience.as_ref());
        variables.set(v::JWT_KEYS_FILE, jwt_keys_file.display());
        variables.set_some(v::CLIENTS_FILE, clients_file.as_ref().map(|path| path.display()));
        variables.workload_identity(workload_identity.as_ref());
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
        variables.registration(registration);
        variables.set(v::UNVERIFIED_LOGIN_ENABLED, accounts.unverified_login);
        variables.set(v::ACCOUNT_DELETION_ENABLED, accounts.self_deletion);
        variables.set(v::ADMIN_PASSWORDS_ENABLED, accounts.admin_passwords);
        variables.set(v::SESSIONS_PER_ACCOUNT, accounts.max_sessions);
        variables.set(v::PASSWORD_MIN_LENGTH, password_policy.min_length.get());
        variables.set_list(v::PASSWORD_FORBIDDEN_WORDS, &password_policy.forbidden_words);
        variables.set(v::DEFAULT_LOCALE, &accounts.default_locale);
        variables.set_some(v::PASSWORD_HASH_WORKERS, password_hash_workers.as_ref());
        variables.set_some(v::MAIL_TEMPLATES_DIR, mail_templates_dir.as_ref().map(|path| path.display()));
        variables.set(v::AUDIT_RETENTION_DAYS, audit_retention.get());
        variables.set(v::LOGIN_PROBE_ENABLED, login_probe);
        variables.set(v::RATE_LIMITS_ENABLED, rate_limits.enabled);
        variables.set(v::RATE_LIMIT_PER_ACCOUNT, rate_limits.per_account);
        variables.set(v::RATE_LIMIT_PER_NETWORK, rate_limits.per_network);
        variables.set(v::RATE_LIMIT_LOGINS_PER_ACCOUNT, rate_limits.logins_per_account);
        variables.set(v::MAX_CONNECTIONS, max_connections.get());
        variables.set_list(v::TRUSTED_PROXIES, trusted_proxies);
        variables.set_list(v::CORS_ALLOWED_ORIGINS, cors_allowed_origins);
        if let Some(client) = introspection_client {
            variables.set(v::INTROSPECTION_CLIENT_ID, &client.id);
            variables.secret(v::INTROSPECTION_CLIENT_SECRET, &client.secret);
        }
        if let Some(pepper) = imported_password_pepper {
            variables.secret(v::IMPORTED_PASSWORD_PEPPER, pepper);
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
    fn workload_identity(&mut self, access: Option<&WorkloadIdentity>) {
        self.set(v::WORKLOAD_IDENTITY_ENABLED, access.is_some());
        if let Some(WorkloadIdentity { api_url, ca_file, token_file }) = access {
            self.set(v::KUBERNETES_API_URL, api_url.as_str().trim_end_matches('/'));
            self.set(v::KUBERNETES_CA_FILE, ca_file.display());
            self.set(v::KUBERNETES_TOKEN_FILE, token_file.display());
        }
    }

    fn registration(&mut self, registration: &Registration) {
        self.set(v::REGISTRATION_ENABLED, registration.enabled);
        self.set_list(v::REGISTRATION_EMAIL_DOMAINS, &registration.email_domains);
        self.set(v::UNVERIFIED_ACCOUNT_RETENTION_DAYS, registration.unverified_retention.get());
    }

    fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.insert(name.to_owned(), format!("{value}"));
    }

    fn set_some(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    fn set_list(&mut self, name: &str, values: &[impl std::fmt::Display]) {
        if !values.is_empty() {
            let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
            self.set(name, texts.join(","));
        }
    }

    fn certificate(&mut self, names: [&str; 2], files: Option<&ClientCertificate>) {
        if let Some(files) = files {
            self.set(names[0], files.certificate.display());
            self.set(names[1], files.key.display());
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
        self.set_some(v::SMTP_EHLO_NAME, email.smtp.ehlo_name.as_ref());
        self.set(v::EMAILS_FROM_EMAIL, &email.from_address);
        self.set_some(v::EMAILS_FROM_NAME, email.from_name.as_ref());
    }
}

//! Parses variables into [`Settings`].

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::account_rules::{canonical_ehlo_name, canonical_email_address};
use crate::given::{Given, Parsed, shown};
use crate::references::{References, ehlo_name};
use crate::settings::{
    ClientCertificate, Email, FirstSuperuser, LogFormat, LogLevel, PoolSize, Settings, Smtp, SmtpCredentials,
    SmtpSecurity,
};
use crate::variables as v;
use crate::{Environment, SettingsErrors};

/// All addresses of both families.
const DEFAULT_LISTEN: &str = "[::]:8080";
const DEFAULT_MANAGEMENT: &str = "[::]:9090";
const DEFAULT_ACCESS_MINUTES: u32 = 10_080;
const DEFAULT_REFRESH_MINUTES: u32 = 525_600;
const DEFAULT_SMTP_PORT: u16 = 587;
/// The variables of a client certificate, each with the reason for which the other one requires it.
const DATABASE_CLIENT: [(&str, &str); 2] = [
    (v::DATABASE_CLIENT_CERT_FILE, "is required because DATABASE_CLIENT_KEY_FILE is set"),
    (v::DATABASE_CLIENT_KEY_FILE, "is required because DATABASE_CLIENT_CERT_FILE is set"),
];
const REDIS_CLIENT: [(&str, &str); 2] = [
    (v::REDIS_CLIENT_CERT_FILE, "is required because REDIS_CLIENT_KEY_FILE is set"),
    (v::REDIS_CLIENT_KEY_FILE, "is required because REDIS_CLIENT_CERT_FILE is set"),
];
const TLS: [(&str, &str); 2] = [
    (v::TLS_CERT_FILE, "is required because TLS_KEY_FILE is set"),
    (v::TLS_KEY_FILE, "is required because TLS_CERT_FILE is set"),
];
const ONE_OF_FIRST_SUPERUSER: &str = "is required because another FIRST_SUPERUSER variable is set";

impl Settings {
    /// Parses variables. An empty variable counts as unset, because templates render absent options as empty.
    ///
    /// # Errors
    /// Every variable that is missing, malformed or contradicts another one.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, SettingsErrors> {
        Self::from_given(Given::of_variables(variables))
    }

    /// Parses the environment of a process like [`Settings::from_variables`].
    ///
    /// # Errors
    /// Every variable that is missing, malformed, not text or contradicts another one.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingsErrors> {
        Self::from_given(Given::of_environment(environment))
    }

    fn from_given(given: Given<'_>) -> Result<Self, SettingsErrors> {
        let mut references = References::default();
        let settings = read(&given, &mut references);
        let faults = given.into_faults();
        match settings {
            Ok(settings) if faults.is_empty() => Ok(settings),
            _ => Err(SettingsErrors::new(faults, references)),
        }
    }
}

/// Reads every variable before the first `?`, so that one fault does not hide another.
fn read(given: &Given<'_>, references: &mut References) -> Parsed<Settings> {
    let database_url = given.required_secret(v::DATABASE_URL);
    let database_pool_size = given.database_pool_size();
    let redis_url = given.required_secret(v::REDIS_URL);
    let database_client_certificate = given.client_certificate(DATABASE_CLIENT);
    let redis_client_certificate = given.client_certificate(REDIS_CLIENT);
    let extra_ca_file = given.path(v::EXTRA_CA_FILE);
    let tls = given.client_certificate(TLS);
    let addresses = given.addresses();
    let issuer_url = given.required(v::ISSUER_URL, given.url(v::ISSUER_URL));
    let token_audience = given.owned(v::TOKEN_AUDIENCE);
    let jwt_keys_file = given.required(v::JWT_KEYS_FILE, given.path(v::JWT_KEYS_FILE));
    let clients_file = given.path(v::CLIENTS_FILE);
    let workload_identity = given.workload_identity();
    let access_token_lifetime = given.minutes(v::ACCESS_TOKEN_EXPIRE_MINUTES, DEFAULT_ACCESS_MINUTES);
    let refresh_token_lifetime = given.minutes(v::REFRESH_TOKEN_EXPIRE_MINUTES, DEFAULT_REFRESH_MINUTES);
    let emails_enabled = given.flag_or(v::EMAILS_ENABLED, false);
    let email = given.email(emails_enabled);
    let public_url = given.url(v::PUBLIC_URL);
    let first_superuser = given.first_superuser();
    let registration_enabled = given.flag_or(v::REGISTRATION_ENABLED, false);
    let registration = given.registration(registration_enabled);
    let accounts = given.accounts();
    let password_policy = given.password_policy();
    let password_hash_workers = given.password_hash_workers();
    let mail_templates_dir = given.path(v::MAIL_TEMPLATES_DIR);
    let audit_retention = given.audit_retention();
    let login_probe = given.flag_or(v::LOGIN_PROBE_ENABLED, false);
    let rate_limits = given.rate_limits();
    let max_connections = given.max_connections();
    let trusted_proxies = given.trusted_proxies();
    let cors_allowed_origins = given.cors_allowed_origins();
    let introspection_client = given.introspection_client();
    let imported_password_pepper = given.secret(v::IMPORTED_PASSWORD_PEPPER);
    let otlp_endpoint = given.owned(v::OTEL_EXPORTER_OTLP_ENDPOINT);
    let log_level = given.log_level();
    let log_format = given.log_format();
    if (registration_enabled, emails_enabled) == (Ok(true), Ok(false)) {
        let reason = "is true, so EMAILS_ENABLED must be true: addresses are verified by e-mail";
        let _ = given.conflict(v::REGISTRATION_ENABLED, reason);
    }
    *references = References {
        database_url: database_url.clone().ok(),
        database_pool_size: database_pool_size.unwrap_or_default(),
        database_client_certificate: database_client_certificate.clone().ok().flatten(),
        redis_url: redis_url.clone().ok(),
        redis_client_certificate: redis_client_certificate.clone().ok().flatten(),
        extra_ca_file: extra_ca_file.clone().ok().flatten(),
        tls: tls.clone().ok().flatten(),
        jwt_keys_file: jwt_keys_file.clone().ok(),
        clients_file: clients_file.clone().ok().flatten(),
        email: email.clone().ok().flatten(),
        ehlo_name: ehlo_name(
            email.as_ref().ok().and_then(Option::as_ref),
            public_url.as_ref().ok().and_then(Option::as_ref),
            issuer_url.as_ref().ok(),
        ),
        mail_templates_dir: mail_templates_dir.clone().ok().flatten(),
        first_superuser: first_superuser.clone().ok().flatten(),
        introspection_client: introspection_client.clone().ok().flatten(),
        imported_password_pepper: imported_password_pepper.clone().ok().flatten(),
    };
    let (listen_addr, management_addr) = addresses?;
    Ok(Settings {
        database_url: database_url?,
        database_pool_size: database_pool_size?,
        database_client_certificate: database_client_certificate?,
        redis_url: redis_url?,
        redis_client_certificate: redis_client_certificate?,
        extra_ca_file: extra_ca_file?,
        tls: tls?,
        listen_addr,
        management_addr,
        issuer_url: issuer_url?,
        token_audience: token_audience?,
        jwt_keys_file: jwt_keys_file?,
        clients_file: clients_file?,
        workload_identity: workload_identity?,
        access_token_lifetime: access_token_lifetime?,
        refresh_token_lifetime: refresh_token_lifetime?,
        email: email?,
        public_url: public_url?,
        first_superuser: first_superuser?,
        registration: registration?,
        accounts: accounts?,
        password_policy: password_policy?,
        password_hash_workers: password_hash_workers?,
        mail_templates_dir: mail_templates_dir?,
        audit_retention: audit_retention?,
        login_probe: login_probe?,
        rate_limits: rate_limits?,
        max_connections: max_connections?,
        trusted_proxies: trusted_proxies?,
        cors_allowed_origins: cors_allowed_origins?,
        introspection_client: introspection_client?,
        imported_password_pepper: imported_password_pepper?,
        otlp_endpoint: otlp_endpoint?,
        log_level: log_level?,
        log_format: log_format?,
    })
}

impl Given<'_> {
    fn database_pool_size(&self) -> Parsed<PoolSize> {
        let name = v::DATABASE_POOL_SIZE;
        let number: u32 = self.parsed(name, PoolSize::default().get(), "a whole number of connections")?;
        PoolSize::new(number).ok_or_else(|| {
            let reason =
                format!("`{number}` is not between {} and {} connections", PoolSize::MIN, PoolSize::MAX);
            self.invalid(name, reason)
        })
    }

    fn addresses(&self) -> Parsed<(SocketAddr, SocketAddr)> {
        let listen = self.address(v::LISTEN_ADDR, DEFAULT_LISTEN);
        let management = self.address(v::MANAGEMENT_ADDR, DEFAULT_MANAGEMENT);
        let (listen, management) = (listen?, management?);
        if listen == management && listen.port() != 0 {
            let reason = "must differ from LISTEN_ADDR: metrics and status must not be on the public port";
            return Err(self.conflict(v::MANAGEMENT_ADDR, reason));
        }
        Ok((listen, management))
    }

    fn client_certificate(
        &self,
        [(certificate_name, needs_certificate), (key_name, needs_key)]: [(&'static str, &'static str); 2],
    ) -> Parsed<Option<ClientCertificate>> {
        let (certificate, key) = (self.path(certificate_name), self.path(key_name));
        match (certificate?, key?) {
            (Some(certificate), Some(key)) => Ok(Some(ClientCertificate { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.conflict(key_name, needs_key)),
            (None, Some(_)) => Err(self.conflict(certificate_name, needs_certificate)),
        }
    }

    fn email(&self, enabled: Parsed<bool>) -> Parsed<Option<Email>> {
        // Parsed even if e-mail is disabled, so that malformed values are always reported.
        let port = self.parsed(v::SMTP_PORT, DEFAULT_SMTP_PORT, "a port number");
        let security = self.smtp_security();
        let credentials = self.smtp_credentials();
        let host = self.text(v::SMTP_HOST);
        let ehlo_name = self.ehlo_name();
        let from_address = self.text(v::EMAILS_FROM_EMAIL);
        let from_name = self.owned(v::EMAILS_FROM_NAME);
        if !enabled? {
            return Ok(None);
        }
        let reason = "is required because EMAILS_ENABLED is true";
        let host = self.needed(v::SMTP_HOST, reason, host);
        let from_address = self.needed(v::EMAILS_FROM_EMAIL, reason, from_address).and_then(|address| {
            canonical_email_address(address).map_err(|refusal| {
                self.invalid(v::EMAILS_FROM_EMAIL, format!("{} {refusal}", shown(address)))
            })
        });
        Ok(Some(Email {
            smtp: Smtp {
                host: host?.to_owned(),
                port: port?,
                security: security?,
                credentials: credentials?,
                ehlo_name: ehlo_name?,
            },
            from_address: from_address?,
            from_name: from_name?,
        }))
    }

    fn ehlo_name(&self) -> Parsed<Option<String>> {
        let Some(text) = self.text(v::SMTP_EHLO_NAME)? else { return Ok(None) };
        canonical_ehlo_name(text).map(Some).ok_or_else(|| {
            let reason = format!("{} is neither a domain name nor an IP address", shown(text));
            self.invalid(v::SMTP_EHLO_NAME, reason)
        })
    }

    fn smtp_credentials(&self) -> Parsed<Option<SmtpCredentials>> {
        let (user, password) = (self.secret(v::SMTP_USER), self.secret(v::SMTP_PASSWORD));
        match (user?, password?) {
            (Some(user), Some(password)) => Ok(Some(SmtpCredentials { user, password })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.conflict(v::SMTP_PASSWORD, "is required because SMTP_USER is set")),
            (None, Some(_)) => Err(self.conflict(v::SMTP_USER, "is required because SMTP_PASSWORD is set")),
        }
    }

    /// `SMTP_SSL=true` alone selects implicit TLS, although `SMTP_TLS` is true by default.
    fn smtp_security(&self) -> Parsed<SmtpSecurity> {
        let (start_tls, implicit) = (self.flag(v::SMTP_TLS), self.flag_or(v::SMTP_SSL, false));
        match (start_tls?, implicit?) {
            (Some(true), true) => Err(self.conflict(
                v::SMTP_SSL,
                "and SMTP_TLS are both true; choose implicit TLS (SMTP_SSL) or STARTTLS (SMTP_TLS)",
            )),
            (_, true) => Ok(SmtpSecurity::Implicit),
            (Some(false), false) => Ok(SmtpSecurity::None),
            (Some(true) | None, false) => Ok(SmtpSecurity::StartTls),
        }
    }

    fn first_superuser(&self) -> Parsed<Option<FirstSuperuser>> {
        let username = self.owned(v::FIRST_SUPERUSER);
        let email = self.owned(v::FIRST_SUPERUSER_EMAIL);
        let password = self.secret(v::FIRST_SUPERUSER_PASSWORD);
        let (name, reason) = match (username?, email?, password?) {
            (None, None, None) => return Ok(None),
            (Some(username), Some(email), Some(password)) => {
                return Ok(Some(FirstSuperuser { username, email, password }));
            }
            (None, Some(_), Some(_)) => (v::FIRST_SUPERUSER, ONE_OF_FIRST_SUPERUSER),
            (Some(_), None, Some(_)) => (v::FIRST_SUPERUSER_EMAIL, ONE_OF_FIRST_SUPERUSER),
            (Some(_), Some(_), None) => (v::FIRST_SUPERUSER_PASSWORD, ONE_OF_FIRST_SUPERUSER),
            (None, None, Some(_)) => (
                v::FIRST_SUPERUSER,
                "and FIRST_SUPERUSER_EMAIL are required because another FIRST_SUPERUSER variable is set",
            ),
            (None, Some(_), None) => (
                v::FIRST_SUPERUSER,
                "and FIRST_SUPERUSER_PASSWORD are required because another FIRST_SUPERUSER variable is set",
            ),
            (Some(_), None, None) => (
                v::FIRST_SUPERUSER_EMAIL,
                "and FIRST_SUPERUSER_PASSWORD are required because another FIRST_SUPERUSER variable is set",
            ),
        };
        Err(self.conflict(name, reason))
    }

    fn log_level(&self) -> Parsed<LogLevel> {
        match self.text(v::LOG_LEVEL)?.unwrap_or("info") {
            "trace" => Ok(LogLevel::Trace),
            "debug" => Ok(LogLevel::Debug),
            "info" => Ok(LogLevel::Info),
            "warn" => Ok(LogLevel::Warn),
            "error" => Ok(LogLevel::Error),
            other => {
                let reason = format!("{} is not one of trace, debug, info, warn, error", shown(other));
                Err(self.invalid(v::LOG_LEVEL, reason))
            }
        }
    }

    fn log_format(&self) -> Parsed<LogFormat> {
        match self.text(v::LOG_FORMAT)?.unwrap_or("json") {
            "json" => Ok(LogFormat::Json),
            "text" => Ok(LogFormat::Text),
            other => Err(self.invalid(v::LOG_FORMAT, format!("{} is neither json nor text", shown(other)))),
        }
    }
}

//! Variables -> [`Settings`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use crate::settings::{
    Email, FirstSuperuser, LogFormat, LogLevel, Minutes, Settings, Smtp, SmtpCredentials, SmtpSecurity,
};
use crate::variables as v;
use crate::{SecretSource, SettingsError};

const DEFAULT_LISTEN: &str = "0.0.0.0:8080";
const DEFAULT_MANAGEMENT: &str = "0.0.0.0:9090";
const DEFAULT_ACCESS_MINUTES: u32 = 10_080;
const DEFAULT_REFRESH_MINUTES: u32 = 525_600;
const DEFAULT_SMTP_PORT: u16 = 587;

impl Settings {
    /// Reads the settings out of variables (usually the process environment). A variable that is set to
    /// nothing counts as unset, since that is how templates leave an option out.
    ///
    /// # Errors
    /// The first variable that is missing, malformed or contradicts another one.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let given = Given(variables);
        let settings = Self {
            database_url: given.required_secret(v::DATABASE_URL)?,
            redis_url: given.required_secret(v::REDIS_URL)?,
            extra_ca_file: given.text(v::EXTRA_CA_FILE).map(PathBuf::from),
            listen_addr: given.address(v::LISTEN_ADDR, DEFAULT_LISTEN)?,
            management_addr: given.address(v::MANAGEMENT_ADDR, DEFAULT_MANAGEMENT)?,
            issuer_url: given.url(v::ISSUER_URL)?.ok_or_else(|| missing(v::ISSUER_URL))?,
            token_audience: given.text(v::TOKEN_AUDIENCE).map(str::to_owned),
            jwt_keys_file: given
                .text(v::JWT_KEYS_FILE)
                .map(PathBuf::from)
                .ok_or_else(|| missing(v::JWT_KEYS_FILE))?,
            access_token_lifetime: given.minutes(v::ACCESS_TOKEN_EXPIRE_MINUTES, DEFAULT_ACCESS_MINUTES)?,
            refresh_token_lifetime: given
                .minutes(v::REFRESH_TOKEN_EXPIRE_MINUTES, DEFAULT_REFRESH_MINUTES)?,
            email: given.email()?,
            public_url: given.url(v::PUBLIC_URL)?,
            first_superuser: given.first_superuser()?,
            registration: given.registration()?,
            accounts: given.accounts()?,
            password_policy: given.password_policy()?,
            mail_templates_dir: given.text(v::MAIL_TEMPLATES_DIR).map(PathBuf::from),
            audit_retention: given.audit_retention()?,
            login_probe: given.flag(v::LOGIN_PROBE_ENABLED)?.unwrap_or(false),
            rate_limits: given.rate_limits()?,
            trusted_proxies: given.trusted_proxies()?,
            cors_allowed_origins: given.cors_allowed_origins()?,
            introspection_client: given.introspection_client()?,
            otlp_endpoint: given.text(v::OTEL_EXPORTER_OTLP_ENDPOINT).map(str::to_owned),
            log_level: given.log_level()?,
            log_format: given.log_format()?,
        };
        for (name, source) in [(v::DATABASE_URL, &settings.database_url), (v::REDIS_URL, &settings.redis_url)]
        {
            if let SecretSource::Inline(text) = source {
                check_secret(name, text.expose())?;
            }
        }
        if settings.registration.enabled && settings.email.is_none() {
            return Err(SettingsError::Conflict {
                name: v::REGISTRATION_ENABLED,
                reason: "is true, so EMAILS_ENABLED must be: an address is verified by mail",
            });
        }
        if settings.listen_addr == settings.management_addr && settings.listen_addr.port() != 0 {
            return Err(SettingsError::Conflict {
                name: v::MANAGEMENT_ADDR,
                reason: "must differ from LISTEN_ADDR: metrics and status do not belong on the public port",
            });
        }
        Ok(settings)
    }
}

fn missing(name: &'static str) -> SettingsError {
    SettingsError::Missing { name, hint: "" }
}

pub(crate) fn invalid(name: &'static str, reason: impl Into<String>) -> SettingsError {
    SettingsError::Invalid { name, reason: reason.into() }
}

/// Checks the text of a secret as far as its variable says what it must be: the scheme of a URL. For secrets that
/// come from a file it is called when the file has been read.
///
/// # Errors
/// [`SettingsError::Invalid`]; it never repeats the value, which holds a password.
pub fn check_secret(name: &'static str, text: &str) -> Result<(), SettingsError> {
    let schemes: &[&str] = match name {
        v::DATABASE_URL => &["postgres://", "postgresql://"],
        v::REDIS_URL => &["redis://", "rediss://"],
        _ => return Ok(()),
    };
    if schemes.iter().any(|scheme| text.starts_with(scheme)) {
        Ok(())
    } else {
        Err(invalid(name, format!("it must start with {}", schemes.join(" or "))))
    }
}

pub(crate) struct Given<'a>(pub(crate) &'a BTreeMap<String, String>);

impl Given<'_> {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn secret(&self, name: &'static str) -> Result<Option<SecretSource>, SettingsError> {
        match (self.text(name), self.text(&v::file_variant(name))) {
            (Some(_), Some(_)) => Err(SettingsError::GivenTwice { name }),
            (Some(text), None) => Ok(Some(SecretSource::inline(text))),
            (None, Some(path)) => Ok(Some(SecretSource::File(PathBuf::from(path)))),
            (None, None) => Ok(None),
        }
    }

    fn required_secret(&self, name: &'static str) -> Result<SecretSource, SettingsError> {
        self.secret(name)?.ok_or(SettingsError::Missing {
            name,
            hint: " (a path may be given instead, with _FILE after the name)",
        })
    }

    pub(crate) fn parsed<T: std::str::FromStr>(
        &self,
        name: &'static str,
        default: T,
        expected: &str,
    ) -> Result<T, SettingsError> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| invalid(name, format!("`{text}` is not {expected}"))),
        }
    }

    fn address(&self, name: &'static str, default: &str) -> Result<SocketAddr, SettingsError> {
        let text = self.text(name).unwrap_or(default);
        text.parse().map_err(|_| {
            invalid(
                name,
                format!("`{text}` is not an address with a port, such as 0.0.0.0:8080 or [::]:8080"),
            )
        })
    }

    fn url(&self, name: &'static str) -> Result<Option<Url>, SettingsError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let url = Url::parse(text)
            .map_err(|_| invalid(name, format!("`{text}` is not a URL such as https://auth.example.com")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid(name, format!("`{text}` is not an http or https URL")));
        }
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(invalid(name, "it must have no query, fragment, user or password"));
        }
        Ok(Some(url))
    }

    fn minutes(&self, name: &'static str, default: u32) -> Result<Minutes, SettingsError> {
        let number: u32 = self.parsed(name, default, "a whole number of minutes")?;
        Minutes::new(number)
            .ok_or_else(|| invalid(name, format!("`{number}` is not between 1 and {} minutes", Minutes::MAX)))
    }

    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, SettingsError> {
        match self.text(name) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(text) => Err(invalid(name, format!("`{text}` is neither true nor false"))),
        }
    }

    fn email(&self) -> Result<Option<Email>, SettingsError> {
        // Checked even where mail is off: a malformed value is never passed over in silence.
        let port = self.parsed(v::SMTP_PORT, DEFAULT_SMTP_PORT, "a port number")?;
        let security = self.smtp_security()?;
        let credentials = match (self.secret(v::SMTP_USER)?, self.secret(v::SMTP_PASSWORD)?) {
            (Some(user), Some(password)) => Some(SmtpCredentials { user, password }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(SettingsError::Conflict {
                    name: v::SMTP_PASSWORD,
                    reason: "is required because SMTP_USER is set",
                });
            }
            (None, Some(_)) => {
                return Err(SettingsError::Conflict {
                    name: v::SMTP_USER,
                    reason: "is required because SMTP_PASSWORD is set",
                });
            }
        };
        if !self.flag(v::EMAILS_ENABLED)?.unwrap_or(false) {
            return Ok(None);
        }
        let host = self.text(v::SMTP_HOST).ok_or(SettingsError::Conflict {
            name: v::SMTP_HOST,
            reason: "is required because EMAILS_ENABLED is true",
        })?;
        let from_address = self.text(v::EMAILS_FROM_EMAIL).ok_or(SettingsError::Conflict {
            name: v::EMAILS_FROM_EMAIL,
            reason: "is required because EMAILS_ENABLED is true",
        })?;
        if !from_address.contains('@') {
            return Err(invalid(v::EMAILS_FROM_EMAIL, format!("`{from_address}` is not an e-mail address")));
        }
        Ok(Some(Email {
            smtp: Smtp { host: host.to_owned(), port, security, credentials },
            from_address: from_address.to_owned(),
            from_name: self.text(v::EMAILS_FROM_NAME).map(str::to_owned),
        }))
    }

    /// `SMTP_SSL=true` alone is enough for TLS from the first byte, since `SMTP_TLS` is true by default.
    fn smtp_security(&self) -> Result<SmtpSecurity, SettingsError> {
        match (self.flag(v::SMTP_TLS)?, self.flag(v::SMTP_SSL)?.unwrap_or(false)) {
            (Some(true), true) => Err(SettingsError::Conflict {
                name: v::SMTP_SSL,
                reason: "and SMTP_TLS are both true; choose TLS from the first byte (SMTP_SSL) or STARTTLS (SMTP_TLS)",
            }),
            (_, true) => Ok(SmtpSecurity::Implicit),
            (Some(false), false) => Ok(SmtpSecurity::None),
            (Some(true) | None, false) => Ok(SmtpSecurity::StartTls),
        }
    }

    fn first_superuser(&self) -> Result<Option<FirstSuperuser>, SettingsError> {
        let needed = |name| SettingsError::Conflict {
            name,
            reason: "is required because another FIRST_SUPERUSER variable is set",
        };
        let username = self.text(v::FIRST_SUPERUSER);
        let email = self.text(v::FIRST_SUPERUSER_EMAIL);
        let password = self.secret(v::FIRST_SUPERUSER_PASSWORD)?;
        if username.is_none() && email.is_none() && password.is_none() {
            return Ok(None);
        }
        Ok(Some(FirstSuperuser {
            username: username.ok_or_else(|| needed(v::FIRST_SUPERUSER))?.to_owned(),
            email: email.ok_or_else(|| needed(v::FIRST_SUPERUSER_EMAIL))?.to_owned(),
            password: password.ok_or_else(|| needed(v::FIRST_SUPERUSER_PASSWORD))?,
        }))
    }

    fn log_level(&self) -> Result<LogLevel, SettingsError> {
        match self.text(v::LOG_LEVEL).unwrap_or("info") {
            "trace" => Ok(LogLevel::Trace),
            "debug" => Ok(LogLevel::Debug),
            "info" => Ok(LogLevel::Info),
            "warn" => Ok(LogLevel::Warn),
            "error" => Ok(LogLevel::Error),
            other => {
                Err(invalid(v::LOG_LEVEL, format!("`{other}` is not one of trace, debug, info, warn, error")))
            }
        }
    }

    fn log_format(&self) -> Result<LogFormat, SettingsError> {
        match self.text(v::LOG_FORMAT).unwrap_or("json") {
            "json" => Ok(LogFormat::Json),
            "text" => Ok(LogFormat::Text),
            other => Err(invalid(v::LOG_FORMAT, format!("`{other}` is neither json nor text"))),
        }
    }
}

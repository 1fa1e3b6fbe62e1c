//! Variables -> the settings of accounts, limits, browsers and proxies.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Origin, Url};

use crate::SettingsError;
use crate::parse::{Given, invalid};
use crate::settings::{Accounts, Days, IntrospectionClient, RateLimits, Registration};
use crate::variables as v;

/// More than this an hour is no limit; and an emission interval must not round to nothing.
const MAX_PER_HOUR: u32 = 1_000_000;

impl Given<'_> {
    pub(crate) fn registration(&self) -> Result<Registration, SettingsError> {
        let email_domains = self.list(v::REGISTRATION_EMAIL_DOMAINS, |text| {
            let domain = text.to_ascii_lowercase();
            let plain = domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
            plain.then_some(domain).ok_or("a domain such as example.com")
        })?;
        Ok(Registration { enabled: self.flag(v::REGISTRATION_ENABLED)?.unwrap_or(false), email_domains })
    }

    pub(crate) fn accounts(&self) -> Result<Accounts, SettingsError> {
        let defaults = Accounts::default();
        let locale = self.text(v::DEFAULT_LOCALE).unwrap_or(&defaults.default_locale);
        if locale.len() > 35 || !locale.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(invalid(
                v::DEFAULT_LOCALE,
                format!("`{locale}` is not a language tag such as en or pt-BR"),
            ));
        }
        Ok(Accounts {
            unverified_login: self.flag(v::UNVERIFIED_LOGIN_ENABLED)?.unwrap_or(defaults.unverified_login),
            self_deletion: self.flag(v::ACCOUNT_DELETION_ENABLED)?.unwrap_or(defaults.self_deletion),
            admin_passwords: self.flag(v::ADMIN_PASSWORDS_ENABLED)?.unwrap_or(defaults.admin_passwords),
            default_locale: locale.to_owned(),
        })
    }

    pub(crate) fn audit_retention(&self) -> Result<Days, SettingsError> {
        let name = v::AUDIT_RETENTION_DAYS;
        let number: u32 = self.parsed(name, Days::default().get(), "a whole number of days")?;
        Days::new(number)
            .ok_or_else(|| invalid(name, format!("`{number}` is not between 1 and {} days", Days::MAX)))
    }

    pub(crate) fn rate_limits(&self) -> Result<RateLimits, SettingsError> {
        let defaults = RateLimits::default();
        Ok(RateLimits {
            enabled: self.flag(v::RATE_LIMITS_ENABLED)?.unwrap_or(defaults.enabled),
            per_account: self.per_hour(v::RATE_LIMIT_PER_ACCOUNT, defaults.per_account)?,
            per_network: self.per_hour(v::RATE_LIMIT_PER_NETWORK, defaults.per_network)?,
        })
    }

    fn per_hour(&self, name: &'static str, default: u32) -> Result<u32, SettingsError> {
        let number: u32 = self.parsed(name, default, "a whole number of attempts an hour")?;
        if (1..=MAX_PER_HOUR).contains(&number) {
            Ok(number)
        } else {
            Err(invalid(name, format!("`{number}` is not between 1 and {MAX_PER_HOUR} an hour")))
        }
    }

    pub(crate) fn trusted_proxies(&self) -> Result<Vec<IpNet>, SettingsError> {
        self.list(v::TRUSTED_PROXIES, |text| {
            let one = || text.parse::<IpAddr>().map(IpNet::from);
            let expected = "a network such as 10.0.0.0/8, or an address";
            text.parse::<IpNet>().or_else(|_| one().map_err(|_| expected))
        })
    }

    pub(crate) fn cors_allowed_origins(&self) -> Result<Vec<String>, SettingsError> {
        self.list(v::CORS_ALLOWED_ORIGINS, |text| {
            let expected = "an origin such as https://app.example.com: scheme, host and port, nothing else";
            let url = Url::parse(text).map_err(|_| expected)?;
            let origin = url.origin();
            let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            // Compared with what browsers send, which is the serialization of the origin (RFC 6454 §6.2).
            match origin {
                Origin::Tuple(..) if plain && url.username().is_empty() => Ok(origin.ascii_serialization()),
                _ => Err(expected),
            }
        })
    }

    pub(crate) fn introspection_client(&self) -> Result<Option<IntrospectionClient>, SettingsError> {
        let id = self.text(v::INTROSPECTION_CLIENT_ID).map(str::to_owned);
        match (id, self.secret(v::INTROSPECTION_CLIENT_SECRET)?) {
            (Some(id), Some(secret)) => Ok(Some(IntrospectionClient { id, secret })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(SettingsError::Conflict {
                name: v::INTROSPECTION_CLIENT_SECRET,
                reason: "is required because INTROSPECTION_CLIENT_ID is set",
            }),
            (None, Some(_)) => Err(SettingsError::Conflict {
                name: v::INTROSPECTION_CLIENT_ID,
                reason: "is required because INTROSPECTION_CLIENT_SECRET is set",
            }),
        }
    }

    /// Values with commas between them.
    pub(crate) fn list<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, SettingsError> {
        let texts = self.text(name).unwrap_or_default().split(',').map(str::trim);
        texts
            .filter(|text| !text.is_empty())
            .map(|text| parse(text).map_err(|expected| invalid(name, format!("`{text}` is not {expected}"))))
            .collect()
    }
}

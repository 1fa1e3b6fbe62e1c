//! Parses the settings of accounts, rate limits, CORS and proxies.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use ipnet::IpNet;

use crate::domain_name::canonical_domain;
use crate::given::{Given, Parsed, shown};
use crate::settings::{Accounts, Days, IntrospectionClient, MaxConnections, RateLimits, Registration};
use crate::variables as v;
use crate::web_origin::parse_web_origin;

/// The maximum rate limit. A higher one would have no effect, and its emission interval could round to zero.
const MAX_PER_HOUR: u32 = 1_000_000;

/// More cores than any node has.
const MAX_HASH_WORKERS: usize = 1024;

/// With more sessions a replica would be busy for minutes when all of them end.
const MAX_SESSIONS: u32 = 100_000;

impl Given<'_> {
    pub(crate) fn registration(&self, enabled: Parsed<bool>) -> Parsed<Registration> {
        let email_domains = self.list(v::REGISTRATION_EMAIL_DOMAINS, |text| {
            let domain = canonical_domain(text).unwrap_or_default().to_ascii_lowercase();
            let plain = domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
            (plain && !domain.is_empty()).then_some(domain).ok_or("a domain such as example.com")
        });
        let unverified_retention =
            self.days(v::UNVERIFIED_ACCOUNT_RETENTION_DAYS, Registration::default().unverified_retention);
        Ok(Registration {
            enabled: enabled?,
            email_domains: email_domains?,
            unverified_retention: unverified_retention?,
        })
    }

    pub(crate) fn accounts(&self) -> Parsed<Accounts> {
        let defaults = Accounts::default();
        let default_locale = self.locale(v::DEFAULT_LOCALE, defaults.default_locale);
        let unverified_login = self.flag_or(v::UNVERIFIED_LOGIN_ENABLED, defaults.unverified_login);
        let self_deletion = self.flag_or(v::ACCOUNT_DELETION_ENABLED, defaults.self_deletion);
        let max_sessions = self.max_sessions(defaults.max_sessions);
        let admin_passwords = self.flag_or(v::ADMIN_PASSWORDS_ENABLED, defaults.admin_passwords);
        Ok(Accounts {
            unverified_login: unverified_login?,
            self_deletion: self_deletion?,
            admin_passwords: admin_passwords?,
            max_sessions: max_sessions?,
            default_locale: default_locale?,
        })
    }

    fn max_sessions(&self, default: u32) -> Parsed<u32> {
        let name = v::SESSIONS_PER_ACCOUNT;
        let number: u32 = self.parsed(name, default, "a whole number of sessions")?;
        if (1..=MAX_SESSIONS).contains(&number) {
            Ok(number)
        } else {
            Err(self.invalid(name, format!("`{number}` is not between 1 and {MAX_SESSIONS} sessions")))
        }
    }

    fn locale(&self, name: &'static str, default: String) -> Parsed<String> {
        let Some(locale) = self.text(name)? else { return Ok(default) };
        if locale.len() > 35 || !locale.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let reason = format!("{} is not a language tag such as en or pt-BR", shown(locale));
            return Err(self.invalid(name, reason));
        }
        Ok(locale.to_owned())
    }

    pub(crate) fn audit_retention(&self) -> Parsed<Days> {
        self.days(v::AUDIT_RETENTION_DAYS, Days::default())
    }

    fn days(&self, name: &'static str, default: Days) -> Parsed<Days> {
        let number: u32 = self.parsed(name, default.get(), "a whole number of days")?;
        Days::new(number)
            .ok_or_else(|| self.invalid(name, format!("`{number}` is not between 1 and {} days", Days::MAX)))
    }

    pub(crate) fn password_hash_workers(&self) -> Parsed<Option<NonZeroUsize>> {
        let name = v::PASSWORD_HASH_WORKERS;
        let number: usize = self.parsed(name, 0, "a whole number of workers")?;
        if self.text(name)?.is_none() {
            return Ok(None);
        }
        NonZeroUsize::new(number).filter(|number| number.get() <= MAX_HASH_WORKERS).map(Some).ok_or_else(
            || self.invalid(name, format!("`{number}` is not between 1 and {MAX_HASH_WORKERS} workers")),
        )
    }

    pub(crate) fn rate_limits(&self) -> Parsed<RateLimits> {
        let defaults = RateLimits::default();
        let enabled = self.flag_or(v::RATE_LIMITS_ENABLED, defaults.enabled);
        let per_account = self.per_hour(v::RATE_LIMIT_PER_ACCOUNT, defaults.per_account);
        let per_network = self.per_hour(v::RATE_LIMIT_PER_NETWORK, defaults.per_network);
        let logins = self.per_hour(v::RATE_LIMIT_LOGINS_PER_ACCOUNT, defaults.logins_per_account);
        Ok(RateLimits {
            enabled: enabled?,
            per_account: per_account?,
            per_network: per_network?,
            logins_per_account: logins?,
        })
    }

    fn per_hour(&self, name: &'static str, default: u32) -> Parsed<u32> {
        let number: u32 = self.parsed(name, default, "a whole number of attempts an hour")?;
        if (1..=MAX_PER_HOUR).contains(&number) {
            Ok(number)
        } else {
            Err(self.invalid(name, format!("`{number}` is not between 1 and {MAX_PER_HOUR} an hour")))
        }
    }

    pub(crate) fn max_connections(&self) -> Parsed<MaxConnections> {
        let (min, max) = (MaxConnections::MIN, MaxConnections::MAX);
        let name = v::MAX_CONNECTIONS;
        let number: u32 =
            self.parsed(name, MaxConnections::default().get(), "a whole number of connections")?;
        MaxConnections::new(number)
            .ok_or_else(|| self.invalid(name, format!("`{number}` is not between {min} and {max}")))
    }

    pub(crate) fn trusted_proxies(&self) -> Parsed<Vec<IpNet>> {
        self.list(v::TRUSTED_PROXIES, |text| {
            let one = || text.parse::<IpAddr>().map(IpNet::from);
            let expected = "a network such as 10.0.0.0/8, or an address";
            text.parse::<IpNet>().or_else(|_| one().map_err(|_| expected))
        })
    }

    pub(crate) fn cors_allowed_origins(&self) -> Parsed<Vec<String>> {
        self.list(v::CORS_ALLOWED_ORIGINS, |text| {
            let expected = "an origin such as https://app.example.com: scheme, host and port, nothing else";
            parse_web_origin(text).ok_or(expected)
        })
    }

    pub(crate) fn introspection_client(&self) -> Parsed<Option<IntrospectionClient>> {
        let id = self.owned(v::INTROSPECTION_CLIENT_ID);
        let secret = self.secret(v::INTROSPECTION_CLIENT_SECRET);
        match (id?, secret?) {
            (Some(id), Some(secret)) => Ok(Some(IntrospectionClient { id, secret })),
            (None, None) => Ok(None),
            (Some(_), None) => {
                let reason = "is required because INTROSPECTION_CLIENT_ID is set";
                Err(self.conflict(v::INTROSPECTION_CLIENT_SECRET, reason))
            }
            (None, Some(_)) => {
                let reason = "is required because INTROSPECTION_CLIENT_SECRET is set";
                Err(self.conflict(v::INTROSPECTION_CLIENT_ID, reason))
            }
        }
    }
}

//! The server's settings, derived from the spec: the only place where the names of the CRD become those of the
//! settings (`bootstrapAdmin` becomes `FIRST_SUPERUSER`, a TTL a lifetime). Pure.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use latchkey_config::account_rules::{canonical_ehlo_name, canonical_email_address};
use latchkey_config::{
    Accounts, ClientCertificate, Days, Email, FirstSuperuser, IntrospectionClient, LogFormat, LogLevel,
    MaxConnections, PasswordLength, PasswordPolicy, PoolSize, RateLimits, Registration, SecretSource,
    Settings, Smtp, SmtpCredentials, SmtpSecurity, WorkloadIdentity, parse_web_origin,
};
use latchkey_crds::AuthServiceSpec;
use latchkey_crds::auth_service as api;
use url::Url;

use super::paths;
use super::tokens::Tokens;
use crate::auth_service::dereference::BootstrapAdmin;
use crate::auth_service::problem::Problem;
use crate::names::{CLIENTS_KEY, HTTP_PORT, MANAGEMENT_PORT};

fn file(folder: &str, name: &str) -> SecretSource {
    SecretSource::File(PathBuf::from(format!("{folder}/{name}")))
}

pub(super) fn settings(
    spec: &AuthServiceSpec,
    tokens: Tokens,
    name: &str,
    namespace: &str,
    bootstrap_admin: Option<&BootstrapAdmin>,
) -> Result<Settings, Problem> {
    let issuer = spec.issuer.clone().unwrap_or_else(|| service_url(spec, name, namespace));
    let http = u16::try_from(HTTP_PORT).unwrap_or(8080);
    Ok(Settings {
        database_url: file(paths::DATABASE, "url"),
        redis_url: file(paths::REDIS, "url"),
        redis_client_certificate: client_certificate(
            spec.redis.client_certificate_secret_ref.as_ref(),
            paths::REDIS_CLIENT,
        ),
        extra_ca_file: (!spec.trusted_cas.is_empty())
            .then(|| PathBuf::from(format!("{}/{}", paths::TRUSTED_CAS, paths::CA_FILE))),
        tls: spec.tls.as_ref().map(|_| certificate_in(paths::TLS)),
        listen_addr: SocketAddr::from((Ipv6Addr::UNSPECIFIED, http)),
        management_addr: SocketAddr::from((Ipv6Addr::UNSPECIFIED, MANAGEMENT_PORT)),
        issuer_url: url(&issuer, "spec.issuer")?,
        token_audience: spec.tokens.audience.clone(),
        jwt_keys_file: PathBuf::from(format!("{}/keys.json", paths::KEYS)),
        // The file exists once an AuthClient was accepted.
        clients_file: Some(PathBuf::from(format!("{}/{CLIENTS_KEY}", paths::CLIENTS))),
        workload_identity: spec.workload_identity.enabled.then(WorkloadIdentity::default),
        access_token_lifetime: tokens.access_token_ttl,
        refresh_token_lifetime: tokens.refresh_token_ttl,
        email: email(&spec.email)?,
        public_url: spec
            .email
            .public_url
            .as_deref()
            .map(|text| url(text, "spec.email.publicURL"))
            .transpose()?,
        first_superuser: bootstrap_admin.map(|admin| FirstSuperuser {
            username: admin.username.clone(),
            email: admin.email.clone(),
            password: file(paths::BOOTSTRAP_ADMIN, "password"),
        }),
        registration: registration(&spec.registration)?,
        accounts: accounts(&spec.accounts)?,
        password_policy: password_policy(&spec.password_policy)?,
        // The server derives it from the resources of its container.
        password_hash_workers: None,
        mail_templates_dir: spec
            .email
            .templates_config_map_ref
            .as_ref()
            .filter(|_| spec.email.enabled)
            .map(|_| PathBuf::from(paths::TEMPLATES)),
        database_pool_size: u32::try_from(spec.database.pool_size)
            .ok()
            .and_then(PoolSize::new)
            .ok_or_else(|| Problem::spec("spec.database.poolSize is out of range: correct it."))?,
        database_client_certificate: client_certificate(
            spec.database.client_certificate_secret_ref.as_ref(),
            paths::DATABASE_CLIENT,
        ),
        audit_retention: days(spec.audit.retention_days, "spec.audit.retentionDays")?,
        login_probe: spec.login_probe.enabled,
        rate_limits: rate_limits(&spec.rate_limits)?,
        max_connections: u32::try_from(spec.max_connections)
            .ok()
            .and_then(MaxConnections::new)
            .ok_or_else(|| Problem::spec("spec.maxConnections is out of range: correct it."))?,
        trusted_proxies: spec
            .trusted_proxies
            .iter()
            .map(|text| parse_network(text))
            .collect::<Option<_>>()
            .ok_or_else(|| {
            Problem::spec("spec.trustedProxies must hold networks or addresses: correct it.")
        })?,
        cors_allowed_origins: spec
            .cors_allowed_origins
            .iter()
            .map(|text| parse_web_origin(text))
            .collect::<Option<_>>()
            .ok_or_else(|| {
                Problem::spec(
                    "spec.corsAllowedOrigins must hold origins such as https://app.example.com: correct it.",
                )
            })?,
        imported_password_pepper: spec
            .accounts
            .imported_password_pepper_secret_ref
            .as_ref()
            .map(|_| file(paths::PEPPER, "pepper")),
        introspection_client: spec.introspection_client.as_ref().map(|client| IntrospectionClient {
            id: client.id.clone(),
            secret: file(paths::INTROSPECTION, "secret"),
        }),
        otlp_endpoint: spec.tracing.otlp_endpoint.clone(),
        log_level: match spec.logging.level {
            api::LogLevel::Trace => LogLevel::Trace,
            api::LogLevel::Debug => LogLevel::Debug,
            api::LogLevel::Info => LogLevel::Info,
            api::LogLevel::Warn => LogLevel::Warn,
            api::LogLevel::Error => LogLevel::Error,
        },
        log_format: match spec.logging.format {
            api::LogFormat::Json => LogFormat::Json,
            api::LogFormat::Text => LogFormat::Text,
        },
    })
}

pub(super) fn password_policy(policy: &api::PasswordPolicy) -> Result<PasswordPolicy, Problem> {
    let length = u32::try_from(policy.min_length).ok().and_then(PasswordLength::new);
    let words: Option<Vec<String>> =
        policy.forbidden_words.iter().map(|text| PasswordPolicy::word(text)).collect();
    Ok(PasswordPolicy {
        min_length: length.ok_or_else(|| {
            Problem::spec("spec.passwordPolicy.minLength must be between 8 and 64: correct it.")
        })?,
        forbidden_words: words.filter(|words| words.len() <= PasswordPolicy::MAX_WORDS).ok_or_else(|| {
            Problem::spec("spec.passwordPolicy.forbiddenWords must hold at most 100 words of 3 to 64 characters without commas: correct it.")
        })?,
    })
}

fn lower_case(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| text.to_ascii_lowercase()).collect()
}

fn registration(spec: &api::Registration) -> Result<Registration, Problem> {
    Ok(Registration {
        enabled: spec.enabled,
        email_domains: lower_case(&spec.email_domains),
        unverified_retention: days(
            spec.unverified_retention_days,
            "spec.registration.unverifiedRetentionDays",
        )?,
    })
}

fn accounts(spec: &api::Accounts) -> Result<Accounts, Problem> {
    Ok(Accounts {
        unverified_login: spec.unverified_login,
        self_deletion: spec.self_deletion,
        admin_passwords: spec.admin_passwords,
        default_locale: spec.default_locale.clone(),
        max_sessions: positive(spec.max_sessions, "spec.accounts.maxSessions")?,
    })
}

fn rate_limits(spec: &api::RateLimits) -> Result<RateLimits, Problem> {
    Ok(RateLimits {
        enabled: spec.enabled,
        per_account: positive(spec.per_account, "spec.rateLimits.perAccount")?,
        per_network: positive(spec.per_network, "spec.rateLimits.perNetwork")?,
        logins_per_account: positive(spec.logins_per_account, "spec.rateLimits.loginsPerAccount")?,
    })
}

fn client_certificate(
    reference: Option<&api::ClientCertificateRef>,
    folder: &str,
) -> Option<ClientCertificate> {
    reference.map(|_| certificate_in(folder))
}

fn certificate_in(folder: &str) -> ClientCertificate {
    ClientCertificate {
        certificate: PathBuf::from(format!("{folder}/{}", paths::CERTIFICATE_FILE)),
        key: PathBuf::from(format!("{folder}/{}", paths::PRIVATE_KEY_FILE)),
    }
}

/// The address of the API inside the cluster.
pub(crate) fn service_url(spec: &AuthServiceSpec, name: &str, namespace: &str) -> String {
    let scheme = if spec.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{name}.{namespace}.svc")
}

fn days(number: i32, field: &str) -> Result<Days, Problem> {
    let days = u32::try_from(number).ok().and_then(Days::new);
    days.ok_or_else(|| Problem::spec(format!("{field} is out of range: correct it.")))
}

fn positive(number: i32, field: &str) -> Result<u32, Problem> {
    let positive = u32::try_from(number).ok().filter(|number| *number > 0);
    positive.ok_or_else(|| Problem::spec(format!("{field} must be at least 1: correct it.")))
}

fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn url(text: &str, field: &str) -> Result<Url, Problem> {
    Url::parse(text)
        .ok()
        .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| Problem::spec(format!("{field} must be an http or https URL: correct it.")))
}

fn ehlo_name(text: &str) -> Result<String, Problem> {
    canonical_ehlo_name(text).ok_or_else(|| {
        Problem::spec("spec.email.smtp.ehloName is neither a domain name nor an IP address: correct it.")
    })
}

fn email(email: &api::Email) -> Result<Option<Email>, Problem> {
    if !email.enabled {
        return Ok(None);
    }
    let (Some(host), Some(address)) = (&email.smtp.host, &email.from.address) else {
        return Err(Problem::spec(
            "spec.email.smtp.host and spec.email.from.address are required: set them.",
        ));
    };
    let address = canonical_email_address(address)
        .map_err(|refusal| Problem::spec(format!("spec.email.from.address {refusal}: correct it.")))?;
    let port = u16::try_from(email.smtp.port)
        .map_err(|_| Problem::spec("spec.email.smtp.port must be between 1 and 65535: correct it."))?;
    Ok(Some(Email {
        smtp: Smtp {
            host: host.clone(),
            port,
            security: match email.smtp.security {
                api::SmtpSecurity::StartTls => SmtpSecurity::StartTls,
                api::SmtpSecurity::Tls => SmtpSecurity::Implicit,
                api::SmtpSecurity::None => SmtpSecurity::None,
            },
            credentials: email.smtp.credentials_secret_ref.as_ref().map(|_| SmtpCredentials {
                user: file(paths::SMTP, "username"),
                password: file(paths::SMTP, "password"),
            }),
            ehlo_name: email.smtp.ehlo_name.as_deref().map(ehlo_name).transpose()?,
        },
        from_address: address,
        from_name: email.from.name.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_password_policy_are_those_of_the_server() {
        let policy = |min_length: i32, words: usize| {
            // Words in which every number is different.
            let forbidden_words = (0..words).map(|number| format!("word {number}")).collect();
            password_policy(&api::PasswordPolicy { min_length, forbidden_words })
                .map_err(|problem| problem.message)
        };
        assert_eq!(
            policy(8, PasswordPolicy::MAX_WORDS).unwrap().forbidden_words.len(),
            PasswordPolicy::MAX_WORDS
        );
        assert!(policy(8, PasswordPolicy::MAX_WORDS + 1).unwrap_err().contains("forbiddenWords"));
        assert_eq!(policy(64, 0).unwrap().min_length.get(), 64);
        for outside in [-1, 7, 65] {
            assert!(policy(outside, 0).unwrap_err().contains("minLength"), "{outside}");
        }
    }

    #[test]
    fn a_limit_is_at_least_one() {
        assert_eq!(positive(1, "f"), Ok(1));
        for number in [0, -1, i32::MIN] {
            assert_eq!(positive(number, "f").unwrap_err().message, "f must be at least 1: correct it.");
        }
    }

    #[test]
    fn only_http_urls_with_a_host_are_accepted() {
        for good in ["http://auth.example.com", "https://[::1]:8443/path"] {
            assert!(url(good, "f").is_ok(), "{good}");
        }
        for bad in ["ftp://auth.example.com", "mailto:a@example.com", "https://", "auth.example.com", ""] {
            assert!(url(bad, "f").is_err(), "{bad}");
        }
    }
}

//! The operator renders settings that the server parses. Nothing may be lost or changed in between, and each error is
//! one sentence that names the variable and contains no secret.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use latchkey_config::{
    Accounts, ClientCertificate, Days, Email, FirstSuperuser, IntrospectionClient, LogFormat, LogLevel,
    MaxConnections, Minutes, PasswordLength, PasswordPolicy, PoolSize, RateLimits, Registration,
    SecretSource, Settings, Smtp, SmtpCredentials, SmtpSecurity, WorkloadIdentity, variables,
};
use proptest::prelude::*;
use url::Url;

/// Any text that an environment variable can hold; an empty one counts as unset.
const TEXT: &str = "[^\0]{1,40}";

fn secret() -> impl Strategy<Value = SecretSource> {
    prop_oneof![TEXT.prop_map(SecretSource::inline), path().prop_map(SecretSource::File)]
}

fn secret_url(schemes: &'static [&'static str]) -> impl Strategy<Value = SecretSource> {
    let inline = (prop::sample::select(schemes), TEXT)
        .prop_map(|(scheme, rest)| SecretSource::inline(format!("{scheme}{rest}")));
    prop_oneof![inline, path().prop_map(SecretSource::File)]
}

fn database_url() -> impl Strategy<Value = SecretSource> {
    let inline = "postgres(ql)?://[a-z]{1,5}:[^\0/?#%]{1,30}@[a-z]{1,9}(:[1-9][0-9]{0,3})?/[a-z]{0,9}"
        .prop_map(SecretSource::inline);
    prop_oneof![inline, path().prop_map(SecretSource::File)]
}

fn path() -> impl Strategy<Value = PathBuf> {
    "/[^\0]{1,30}".prop_map(PathBuf::from)
}

/// A URL without a trailing slash, which rendering would drop.
fn url() -> impl Strategy<Value = Url> {
    "https?://[a-z][a-z0-9]{0,10}(\\.[a-z]{2,6})?(:[1-9][0-9]{0,3})?(/[a-z0-9~_-]{1,8}){0,3}"
        .prop_map(|text| Url::parse(&text).expect("a URL by construction"))
}

fn workload_identity() -> impl Strategy<Value = WorkloadIdentity> {
    let api_url = "https://[a-z][a-z0-9]{0,10}(:[1-9][0-9]{0,3})?"
        .prop_map(|text| Url::parse(&text).expect("a URL by construction"));
    (api_url, path(), path()).prop_map(|(api_url, ca_file, token_file)| WorkloadIdentity {
        api_url,
        ca_file,
        token_file,
    })
}

fn addresses() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let one = || (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    (one(), one()).prop_filter("the two differ", |(api, management)| api != management || api.port() == 0)
}

fn email() -> impl Strategy<Value = Email> {
    let credentials = (secret(), secret()).prop_map(|(user, password)| SmtpCredentials { user, password });
    let security =
        prop::sample::select(vec![SmtpSecurity::StartTls, SmtpSecurity::Implicit, SmtpSecurity::None]);
    let ehlo_name = prop::option::of("[a-z0-9]{1,8}(\\.[a-z]{2,6}){0,2}");
    let smtp = (TEXT, any::<u16>(), security, prop::option::of(credentials), ehlo_name).prop_map(
        |(host, port, security, credentials, ehlo_name)| Smtp {
            host,
            port,
            security,
            credentials,
            ehlo_name,
        },
    );
    (smtp, "[a-z+']{0,8}[a-z]@[a-z0-9]{1,10}(\\.[a-z]{2,6})?", prop::option::of(TEXT))
        .prop_map(|(smtp, from_address, from_name)| Email { smtp, from_address, from_name })
}

fn first_superuser() -> impl Strategy<Value = FirstSuperuser> {
    (TEXT, TEXT, secret()).prop_map(|(username, email, password)| FirstSuperuser {
        username,
        email,
        password,
    })
}

fn minutes() -> impl Strategy<Value = Minutes> {
    (1..=Minutes::MAX).prop_map(|minutes| Minutes::new(minutes).expect("within the limits by construction"))
}

fn log() -> impl Strategy<Value = (LogLevel, LogFormat)> {
    use LogLevel::{Debug, Error, Info, Trace, Warn};
    (
        prop::sample::select(vec![Trace, Debug, Info, Warn, Error]),
        prop::sample::select(vec![LogFormat::Json, LogFormat::Text]),
    )
}

fn networks() -> impl Strategy<Value = Vec<IpNet>> {
    let network = (any::<IpAddr>(), 0..=32_u8)
        .prop_map(|(address, prefix)| IpNet::new(address, prefix).expect("a prefix that both families have"));
    prop::collection::vec(network, 0..3)
}

fn origins() -> impl Strategy<Value = Vec<String>> {
    let origin = url().prop_map(|url| url.origin().ascii_serialization());
    prop::collection::vec(origin, 0..3)
}

prop_compose! {
    /// Registration requires e-mail.
    fn registration(mail: bool)(
        enabled in any::<bool>(),
        email_domains in prop::collection::vec("[a-z0-9]{1,8}\\.[a-z]{2,6}", 0..3),
        unverified_retention in days(),
    ) -> Registration {
        Registration { enabled: enabled && mail, email_domains, unverified_retention }
    }
}

prop_compose! {
    fn accounts()(
        (unverified_login, self_deletion, admin_passwords) in any::<(bool, bool, bool)>(),
        default_locale in "[a-z]{2}(-[A-Z]{2})?",
        max_sessions in 1..=100_000_u32,
    ) -> Accounts {
        Accounts { unverified_login, self_deletion, admin_passwords, default_locale, max_sessions }
    }
}

prop_compose! {
    fn password_policy()(
        characters in PasswordLength::MIN..=PasswordLength::MAX,
        words in prop::collection::vec("[a-zäß0-9][a-z0-9 !.-]{1,20}[a-zø0-9]", 0..5),
    ) -> PasswordPolicy {
        let min_length = PasswordLength::new(characters).expect("within the limits by construction");
        PasswordPolicy { min_length, forbidden_words: words }
    }
}

prop_compose! {
    fn rate_limits()(enabled in any::<bool>(), per_account in 1..=1_000_000_u32, per_network in 1..=1_000_000_u32, logins_per_account in 1..=1_000_000_u32) -> RateLimits {
        RateLimits { enabled, per_account, per_network, logins_per_account }
    }
}

fn introspection_client() -> impl Strategy<Value = IntrospectionClient> {
    (TEXT, secret()).prop_map(|(id, secret)| IntrospectionClient { id, secret })
}

fn client_certificate() -> impl Strategy<Value = ClientCertificate> {
    (path(), path()).prop_map(|(certificate, key)| ClientCertificate { certificate, key })
}

fn max_connections() -> impl Strategy<Value = MaxConnections> {
    (MaxConnections::MIN..=MaxConnections::MAX)
        .prop_map(|number| MaxConnections::new(number).expect("within the limits by construction"))
}

fn days() -> impl Strategy<Value = Days> {
    (1..=Days::MAX).prop_map(|days| Days::new(days).expect("within the limits by construction"))
}

prop_compose! {
    fn settings()(
        database_url in database_url(),
        redis_url in secret_url(&["redis://", "rediss://"]),
        (listen_addr, management_addr) in addresses(),
        (issuer_url, public_url) in (url(), prop::option::of(url())),
        (token_audience, otlp_endpoint) in (prop::option::of(TEXT), prop::option::of(TEXT)),
        (jwt_keys_file, clients_file, workload_identity) in
            (path(), prop::option::of(path()), prop::option::of(workload_identity())),
        (access_token_lifetime, refresh_token_lifetime) in (minutes(), minutes()),
        (email, registration) in prop::option::of(email())
            .prop_flat_map(|email| registration(email.is_some()).prop_map(move |registration| (email.clone(), registration))),
        (accounts, rate_limits, audit_retention, login_probe) in (accounts(), rate_limits(), days(), any::<bool>()),
        (mail_templates_dir, extra_ca_file) in (prop::option::of(path()), prop::option::of(path())),
        (database_pool_size, database_client_certificate, redis_client_certificate, tls) in (
            (PoolSize::MIN..=PoolSize::MAX).prop_map(|size| PoolSize::new(size).expect("within the limits")),
            prop::option::of(client_certificate()),
            prop::option::of(client_certificate()),
            prop::option::of(client_certificate()),
        ),
        (password_policy, password_hash_workers) in
            (password_policy(), prop::option::of((1..=1024_usize).prop_map(|number| number.try_into().expect("at least 1")))),
        (trusted_proxies, cors_allowed_origins, max_connections) in (networks(), origins(), max_connections()),
        (introspection_client, imported_password_pepper) in
            (prop::option::of(introspection_client()), prop::option::of(secret())),
        first_superuser in prop::option::of(first_superuser()),
        (log_level, log_format) in log(),
    ) -> Settings {
        Settings {
            database_url, database_pool_size, redis_url, listen_addr, management_addr, issuer_url, token_audience, jwt_keys_file, clients_file, workload_identity,
            access_token_lifetime, refresh_token_lifetime, email, public_url, first_superuser, otlp_endpoint,
            log_level, log_format, registration, accounts, mail_templates_dir, audit_retention, login_probe, rate_limits,
            trusted_proxies, cors_allowed_origins, introspection_client, imported_password_pepper, extra_ca_file,
            password_policy, max_connections, password_hash_workers,
            database_client_certificate, redis_client_certificate, tls,
        }
    }
}

/// Some of the variables with arbitrary values. Secrets contain a mark that no message may contain.
fn anything() -> impl Strategy<Value = BTreeMap<String, String>> {
    const PLAIN: [&str; 56] = [
        variables::WORKLOAD_IDENTITY_ENABLED,
        variables::KUBERNETES_API_URL,
        variables::KUBERNETES_CA_FILE,
        variables::KUBERNETES_TOKEN_FILE,
        variables::TLS_CERT_FILE,
        variables::TLS_KEY_FILE,
        variables::DATABASE_POOL_SIZE,
        variables::LISTEN_ADDR,
        variables::MANAGEMENT_ADDR,
        variables::ISSUER_URL,
        variables::TOKEN_AUDIENCE,
        variables::JWT_KEYS_FILE,
        variables::CLIENTS_FILE,
        variables::ACCESS_TOKEN_EXPIRE_MINUTES,
        variables::REFRESH_TOKEN_EXPIRE_MINUTES,
        variables::EMAILS_ENABLED,
        variables::SMTP_HOST,
        variables::SMTP_PORT,
        variables::SMTP_TLS,
        variables::SMTP_SSL,
        variables::EMAILS_FROM_EMAIL,
        variables::EMAILS_FROM_NAME,
        variables::PUBLIC_URL,
        variables::FIRST_SUPERUSER,
        variables::FIRST_SUPERUSER_EMAIL,
        variables::OTEL_EXPORTER_OTLP_ENDPOINT,
        variables::REGISTRATION_ENABLED,
        variables::REGISTRATION_EMAIL_DOMAINS,
        variables::UNVERIFIED_LOGIN_ENABLED,
        variables::UNVERIFIED_ACCOUNT_RETENTION_DAYS,
        variables::ACCOUNT_DELETION_ENABLED,
        variables::ADMIN_PASSWORDS_ENABLED,
        variables::PASSWORD_MIN_LENGTH,
        variables::PASSWORD_FORBIDDEN_WORDS,
        variables::PASSWORD_HASH_WORKERS,
        variables::EXTRA_CA_FILE,
        variables::DATABASE_CLIENT_CERT_FILE,
        variables::DATABASE_CLIENT_KEY_FILE,
        variables::REDIS_CLIENT_CERT_FILE,
        variables::REDIS_CLIENT_KEY_FILE,
        variables::SMTP_EHLO_NAME,
        variables::DEFAULT_LOCALE,
        variables::MAIL_TEMPLATES_DIR,
        variables::LOGIN_PROBE_ENABLED,
        variables::AUDIT_RETENTION_DAYS,
        variables::RATE_LIMITS_ENABLED,
        variables::RATE_LIMIT_PER_ACCOUNT,
        variables::RATE_LIMIT_PER_NETWORK,
        variables::RATE_LIMIT_LOGINS_PER_ACCOUNT,
        variables::SESSIONS_PER_ACCOUNT,
        variables::MAX_CONNECTIONS,
        variables::TRUSTED_PROXIES,
        variables::CORS_ALLOWED_ORIGINS,
        variables::INTROSPECTION_CLIENT_ID,
        variables::LOG_LEVEL,
        variables::LOG_FORMAT,
    ];
    let value = || {
        let usual = ["", "true", "false", "1", "0", "0.0.0.0:1", "https://a.example", "587", "info", "json"];
        prop_oneof![prop::sample::select(usual.to_vec()).prop_map(str::to_owned), any::<String>()]
    };
    let plain = prop::collection::btree_map(
        prop::sample::select(PLAIN.to_vec()).prop_map(str::to_owned),
        value(),
        0..20,
    );
    let secrets = prop::collection::btree_map(
        (prop::sample::select(variables::SECRETS.to_vec()), any::<bool>())
            .prop_map(|(name, file)| if file { variables::file_variant(name) } else { name.to_owned() }),
        prop::sample::select(vec!["", "postgres://", "redis://", "ftp://"])
            .prop_map(|scheme| format!("{scheme}{MARK}")),
        0..8,
    );
    (plain, secrets).prop_map(|(plain, secrets)| plain.into_iter().chain(secrets).collect())
}

const MARK: &str = "NeverPrinted";

proptest! {
    #[test]
    fn rendered_settings_are_parsed_unchanged(settings in settings()) {
        prop_assert_eq!(Settings::from_variables(&settings.to_variables()), Ok(settings));
    }

    #[test]
    fn parsing_a_forbidden_word_is_idempotent(text in any::<String>()) {
        if let Some(word) = PasswordPolicy::word(&text) {
            let given = BTreeMap::from([(variables::PASSWORD_FORBIDDEN_WORDS.to_owned(), word.clone())]);
            prop_assert_eq!(PasswordPolicy::from_variables(&given).unwrap().forbidden_words, [word]);
        }
    }

    #[test]
    fn no_policy_is_weaker_than_the_fixed_rules(length in any::<u32>()) {
        let given = BTreeMap::from([(variables::PASSWORD_MIN_LENGTH.to_owned(), length.to_string())]);
        match PasswordPolicy::from_variables(&given) {
            Ok(policy) => prop_assert!(policy.min_length.get() == length && (8..=64).contains(&length)),
            Err(_) => prop_assert!(!(8..=64).contains(&length)),
        }
    }

    #[test]
    fn a_trailing_slash_does_not_change_tokens_or_links(settings in settings()) {
        let mut slashed = settings.to_variables();
        for name in [variables::ISSUER_URL, variables::PUBLIC_URL] {
            if let Some(url) = slashed.get_mut(name) {
                url.push('/');
            }
        }
        let read = Settings::from_variables(&slashed).unwrap();
        prop_assert_eq!(read.issuer(), settings.issuer());
        prop_assert_eq!(read.audience(), settings.audience());
        prop_assert_eq!(read.public_base(), settings.public_base());
    }

    #[test]
    fn errors_name_a_variable_and_contain_no_secret(given in anything()) {
        if let Err(error) = Settings::from_variables(&given) {
            let sentence = error.to_string();
            let name = sentence.split(' ').next().unwrap_or_default();
            prop_assert!(name.chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{}", sentence);
            prop_assert!(!sentence.contains(MARK), "{}", sentence);
            prop_assert!(!format!("{error:?}").contains(MARK), "{:?}", error);
        }
    }

    #[test]
    fn every_error_is_one_line_that_names_a_variable(given in anything()) {
        if let Err(error) = Settings::from_variables(&given) {
            let text = error.to_string();
            let lines: Vec<_> = text.lines().collect();
            prop_assert_eq!(lines.len(), error.iter().count(), "{}", text);
            for line in lines {
                let name = line.split(' ').next().unwrap_or_default();
                prop_assert!(variables::ALL.contains(&name), "{}", line);
            }
        }
    }

    #[test]
    fn debug_output_contains_no_secret(settings in settings()) {
        let printed = format!("{settings:?}");
        for secret in [&settings.database_url, &settings.redis_url] {
            if let SecretSource::Inline(text) = secret {
                let rest = text.expose().split_once("://").map_or("", |(_, rest)| rest);
                // A short secret may occur in the rest of the output by chance.
                prop_assert!(rest.len() < 12 || !printed.contains(rest), "{}", printed);
            }
        }
    }
}

//! The parameters of a URL.

use std::path::PathBuf;
use std::time::Duration;

use super::{PostgresUrl, RootCertificate, SslMode, decode, hosts, present};
use crate::{ClientCertificate, SecretText};

/// Parameters that only matter for what the server does not use, or that it decides itself.
const WITHOUT_EFFECT: [&str; 12] = [
    // The server sets its own, by which replicas are counted.
    "application_name",
    "fallback_application_name",
    // Each statement has a deadline.
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    // Of several servers only one accepts writes.
    "load_balance_hosts",
    // PostgreSQL has no TLS compression any more.
    "sslcompression",
    "max_protocol_version",
    // Of other libraries: the number of prepared statements, and of connections (DATABASE_POOL_SIZE).
    "statement-cache-capacity",
    "connection_limit",
];

/// Parameters that the server does not support, and what to do instead.
const UNSUPPORTED: [(&str, &str); 20] = [
    ("gsslib", KERBEROS),
    ("gssdelegation", KERBEROS),
    ("krbsrvname", KERBEROS),
    ("oauth_client_id", "use a password or a client certificate"),
    ("oauth_client_secret", "use a password or a client certificate"),
    ("oauth_issuer", "use a password or a client certificate"),
    ("oauth_scope", "use a password or a client certificate"),
    ("passfile", "put the password into the URL"),
    ("require_auth", "require the method in pg_hba.conf"),
    ("requirepeer", "leave it out"),
    ("scram_client_key", "use a password"),
    ("scram_server_key", "use a password"),
    ("service", "put its values into the URL"),
    ("servicefile", "put its values into the URL"),
    ("sslcrl", "use certificates with short lifetimes"),
    ("sslcrldir", "use certificates with short lifetimes"),
    ("sslkeylogfile", "leave it out"),
    ("sslpassword", "use a key without a password"),
    ("schema", "use options=-c%20search_path%3DSCHEMA"),
    ("currentSchema", "use options=-c%20search_path%3DSCHEMA"),
];
const KERBEROS: &str = "use a password or a client certificate";
const SUPPORTED: &str = "host, hostaddr, port, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey, \
                         connect_timeout, target_session_attrs, options and pgbouncer";

/// What a URL says, before its parts are compared.
#[derive(Default)]
pub(super) struct Parameters {
    pub(super) hosts: Vec<String>,
    pub(super) ports: Vec<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: Option<String>,
    addresses: Vec<String>,
    ssl_mode: Option<SslMode>,
    binds_channel: bool,
    root_certificate: Option<RootCertificate>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    requires_certificate: bool,
    omits_certificate: bool,
    connect_timeout: Option<Duration>,
    options: Option<String>,
    pooler: Option<bool>,
}

impl Parameters {
    /// Reads the query. A parameter replaces what the URL says before the query, as in libpq.
    pub(super) fn read_query(&mut self, query: &str) -> Result<(), String> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(
                    "it has a parameter without a value: percent-encode special characters of the password"
                        .to_owned(),
                );
            };
            let (name, value) = (decode(name, "query")?, decode(value, "query")?);
            self.read(&name, value).map_err(|reason| match reason {
                Refusal::Sentence(sentence) => sentence,
                // The name may be a part of a password that is not encoded.
                Refusal::Unknown if query.contains('@') || !is_parameter_name(&name) => {
                    format!("it has an unknown parameter: the known ones are {SUPPORTED}; percent-encode special characters of the password")
                }
                Refusal::Unknown => {
                    format!("its parameter `{name}` is unknown: the known ones are {SUPPORTED}")
                }
            })?;
        }
        Ok(())
    }

    fn read(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        match name {
            "host" => self.hosts = split_list(&value),
            "hostaddr" => self.addresses = split_list(&value),
            "port" => self.ports = split_list(&value),
            "user" => self.username = present(Some(value)),
            "password" => self.password = present(Some(value)),
            "dbname" => self.database = present(Some(value)),
            "sslmode" | "ssl-mode" => self.ssl_mode = parse_ssl_mode(&value)?,
            // As JDBC names it.
            "ssl" => self.ssl_mode = parse_flag(name, &value)?.then_some(SslMode::Require).or(self.ssl_mode),
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => {
                self.root_certificate = match &*value {
                    "" => None,
                    "system" => Some(RootCertificate::System),
                    path => Some(RootCertificate::File(path.into())),
                }
            }
            "sslcert" | "ssl-cert" => self.certificate = present(Some(value)).map(PathBuf::from),
            "sslkey" | "ssl-key" => self.key = present(Some(value)).map(PathBuf::from),
            "sslcertmode" => match &*value {
                "" | "allow" => {}
                "disable" => self.omits_certificate = true,
                "require" => self.requires_certificate = true,
                _ => return Err(one_of(name, "disable, allow or require")),
            },
            "connect_timeout" => self.connect_timeout = parse_timeout(&value)?,
            "options" => self.add_option(&value),
            "target_session_attrs" => check_session(&value)?,
            "channel_binding" => match &*value {
                "" | "prefer" | "disable" => {}
                "require" => self.binds_channel = true,
                _ => return Err(one_of(name, "disable, prefer or require")),
            },
            "pgbouncer" => self.pooler = Some(parse_flag(name, &value)?),
            _ => match name.strip_prefix("options[").and_then(|name| name.strip_suffix(']')) {
                Some(option) => self.add_option(&format!("-c {option}={}", escape(&value))),
                None => check_fixed(name, &value)?,
            },
        }
        Ok(())
    }

    fn add_option(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let options = self.options.get_or_insert_default();
        if !options.is_empty() {
            options.push(' ');
        }
        options.push_str(text);
    }

    pub(super) fn finish(self) -> Result<PostgresUrl, String> {
        let hosts = hosts::combine(&self.hosts, &self.addresses, &self.ports)?;
        let client_certificate = match (self.certificate, self.key) {
            _ if self.omits_certificate => None,
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) if self.requires_certificate => {
                return Err("sslcertmode=require needs `sslcert` and `sslkey`".to_owned());
            }
            (None, None) => None,
            _ => return Err("it has only one of `sslcert` and `sslkey`; give both".to_owned()),
        };
        let ssl_mode = verified_mode(self.ssl_mode, self.root_certificate.as_ref(), self.binds_channel)?;
        let names_both = !self.addresses.is_empty() && !self.hosts.iter().all(String::is_empty);
        if names_both && ssl_mode == Some(SslMode::VerifyFull) {
            return Err(
                "`hostaddr` beside a host is not supported when the host is verified: leave `hostaddr` out"
                    .to_owned(),
            );
        }
        Ok(PostgresUrl {
            hosts,
            username: self.username,
            password: self.password.map(SecretText::new),
            database: self.database,
            ssl_mode,
            root_certificate: self.root_certificate,
            client_certificate,
            connect_timeout: self.connect_timeout,
            options: self.options,
            pooler: self.pooler,
        })
    }
}

enum Refusal {
    Unknown,
    Sentence(String),
}

impl From<String> for Refusal {
    fn from(sentence: String) -> Self {
        Self::Sentence(sentence)
    }
}

fn one_of(name: &str, values: &str) -> Refusal {
    Refusal::Sentence(format!("its parameter `{name}` must be {values}"))
}

/// A name as parameters have it, which cannot be a strong password.
fn is_parameter_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '-'))
}

fn split_list(value: &str) -> Vec<String> {
    if value.is_empty() { Vec::new() } else { value.split(',').map(|part| part.trim().to_owned()).collect() }
}

/// The syntax of `options` escapes spaces and backslashes.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(' ', "\\ ")
}

fn parse_ssl_mode(value: &str) -> Result<Option<SslMode>, Refusal> {
    Ok(Some(match value {
        "" => return Ok(None),
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => SslMode::VerifyCa,
        "verify-full" => SslMode::VerifyFull,
        _ => return Err(one_of("sslmode", "disable, allow, prefer, require, verify-ca or verify-full")),
    }))
}

/// The mode, raised to what the other parameters demand, as in libpq.
fn verified_mode(
    mode: Option<SslMode>,
    root: Option<&RootCertificate>,
    binds_channel: bool,
) -> Result<Option<SslMode>, String> {
    // A bound channel excludes another server between the two, which the server excludes by verifying the certificate.
    let mode = match mode {
        Some(SslMode::Disable) if binds_channel => {
            return Err("channel_binding=require needs TLS, and sslmode is disable".to_owned());
        }
        _ if binds_channel => Some(SslMode::VerifyFull),
        mode => mode,
    };
    match (root, mode) {
        (Some(RootCertificate::System), None | Some(SslMode::VerifyFull)) => Ok(Some(SslMode::VerifyFull)),
        (Some(RootCertificate::System), Some(_)) => {
            Err("sslrootcert=system needs sslmode=verify-full".to_owned())
        }
        (Some(RootCertificate::File(_)), Some(SslMode::Require)) => Ok(Some(SslMode::VerifyCa)),
        _ => Ok(mode),
    }
}

fn parse_flag(name: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(one_of(name, "true or false")),
    }
}

/// Zero and negative numbers mean no limit, as in libpq.
fn parse_timeout(value: &str) -> Result<Option<Duration>, Refusal> {
    let seconds: i64 =
        value.trim().parse().map_err(|_| one_of("connect_timeout", "a whole number of seconds"))?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// Whatever is asked for, the server uses only a database that accepts writes.
fn check_session(value: &str) -> Result<(), Refusal> {
    match value {
        "" | "any" | "read-write" | "primary" => Ok(()),
        "read-only" | "standby" | "prefer-standby" => Err(Refusal::Sentence(format!(
            "target_session_attrs={value} leads to a standby, and the server needs the primary: use read-write"
        ))),
        _ => Err(one_of("target_session_attrs", "any, read-write or primary")),
    }
}

/// Parameters of which the server supports only some values.
fn check_fixed(name: &str, value: &str) -> Result<(), Refusal> {
    let supported: &[&str] = match name {
        name if WITHOUT_EFFECT.contains(&name) => return Ok(()),
        "client_encoding" => &["", "UTF8", "utf8", "UTF-8", "utf-8", "auto"],
        "gssencmode" => &["", "disable", "prefer"],
        "min_protocol_version" => &["", "3.0"],
        "replication" => &["", "false", "off", "no", "0"],
        "sslnegotiation" => &["", "postgres"],
        "sslsni" => &["", "1"],
        "ssl_min_protocol_version" => &["", "TLSv1", "TLSv1.1", "TLSv1.2"],
        "ssl_max_protocol_version" => &["", "TLSv1.3"],
        _ => {
            let unsupported = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name);
            let Some((name, instead)) = unsupported else { return Err(Refusal::Unknown) };
            return Err(Refusal::Sentence(format!("its parameter `{name}` is not supported: {instead}")));
        }
    };
    if supported.contains(&value) {
        return Ok(());
    }
    let supported: Vec<_> = supported.iter().filter(|value| !value.is_empty()).copied().collect();
    Err(Refusal::Sentence(format!(
        "its parameter `{name}` has a value that is not supported: use {} or leave it out",
        supported.join(", ")
    )))
}

//! URLs of PostgreSQL, as libpq reads them (PostgreSQL 18 documentation §32.1.1): several hosts, Unix sockets and
//! parameters. The `url` crate accepts only one host. What the server cannot do as it was asked is refused.

mod hosts;
mod parameters;

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::{ClientCertificate, SecretText};
use parameters::Parameters;

/// The schemes of [`PostgresUrl`].
pub(crate) const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
/// The port of PostgreSQL.
pub const POSTGRES_PORT: u16 = 5432;

/// Where to find a PostgreSQL database, and how to connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The servers, in their order; none for the default of libpq. The database is on the one that accepts writes.
    pub hosts: Vec<PostgresHost>,
    /// The user; the default of libpq if unset.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretText>,
    /// The database; the name of the user if unset.
    pub database: Option<String>,
    /// How to use TLS; the default if unset. Connections to sockets do not use it.
    pub ssl_mode: Option<SslMode>,
    /// Whose certificates are trusted.
    pub root_certificate: Option<RootCertificate>,
    /// The client certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// How long connecting to one server may take.
    pub connect_timeout: Option<Duration>,
    /// Options for the server's command line.
    pub options: Option<String>,
    /// Whether a connection pooler shares sessions between its clients; if unset, the server finds out.
    pub pooler: Option<bool>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresHost {
    /// Its address.
    pub address: PostgresAddress,
    /// Its port, which is also a part of the name of a socket.
    pub port: u16,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresAddress {
    /// A host name or an IP address, without brackets.
    Tcp(String),
    /// The folder of a Unix socket.
    Socket(PathBuf),
}

/// `sslmode`. `allow` is read as `prefer`, which is never weaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server offers it.
    Prefer,
    /// TLS, with any certificate.
    Require,
    /// TLS, with a certificate of a trusted authority.
    VerifyCa,
    /// TLS, with a certificate of a trusted authority for the host.
    VerifyFull,
}

/// `sslrootcert`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCertificate {
    /// A PEM file.
    File(PathBuf),
    /// The authorities of the system.
    System,
}

impl PostgresUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// Why the URL is refused, as the rest of a sentence. It contains neither the password nor any other value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = SCHEMES
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or_else(|| format!("it must start with {}", SCHEMES.join(" or ")))?;
        let (credentials, rest) = split_credentials(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (hosts, rest) = rest.split_at(end);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (username, password) = match credentials {
            None => (None, None),
            Some(credentials) => match credentials.split_once(':') {
                None => (Some(credentials), None),
                Some((username, password)) => (Some(username), Some(password)),
            },
        };
        let mut parameters = Parameters::default();
        let (names, ports) = hosts::split_authority(hosts)?;
        parameters.hosts = names;
        parameters.ports = ports;
        parameters.username = present(username.map(|text| decode(text, "user name")).transpose()?);
        parameters.password = present(password.map(|text| decode(text, "password")).transpose()?);
        parameters.database = present(Some(decode(path.strip_prefix('/').unwrap_or(path), "database name")?));
        parameters.read_query(query)?;
        parameters.finish()
    }
}

/// The credentials end at an `@` before the path and the query. Unlike libpq, which takes the first one, a password may contain
/// an `@`, as several libraries write it.
fn split_credentials(rest: &str) -> (Option<&str>, &str) {
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let Some(first) = authority.find('@') else { return (None, rest) };
    let end = authority[first..].find('?').map_or(authority.len(), |index| first + index);
    let last = authority[..end].rfind('@').unwrap_or(first);
    (Some(&rest[..last]), &rest[last + 1..])
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) if !decoded.contains('\0') => Ok(decoded.into_owned()),
        _ => Err(format!("its {what} is not UTF-8 text without zero bytes")),
    }
}

fn present(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;

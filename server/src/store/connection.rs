//! Connecting to PostgreSQL, and following a change of its credentials while the server runs.

mod certificate_files;

use std::env;
use std::sync::Arc;

use latchkey_config::{PostgresAddress, PostgresUrl, RootCertificate, SslMode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::connection_limit::replica_name;
use super::pool::{Deadlines, Pool, Target};
use super::profile_reader::ProfileReader;
use super::schema_version::application_name;
use super::{Store, StoreError};
use crate::trusted_roots::TrustedRoots;

impl Store {
    /// Creates a store that connects on first use, so that the server can start while the database is down.
    ///
    /// # Errors
    /// [`StoreError::InvalidUrl`]; the message does not contain the URL.
    pub fn connect_lazily(
        database_url: &str,
        max_connections: u32,
        roots: &TrustedRoots,
    ) -> Result<Self, StoreError> {
        Self::connect_as(application_name(), database_url, max_connections, roots)
    }

    /// The same for a replica of the server, which is counted as one.
    ///
    /// # Errors
    /// As [`Store::connect_lazily`].
    pub fn connect_replica_lazily(
        database_url: &str,
        max_connections: u32,
        roots: &TrustedRoots,
    ) -> Result<Self, StoreError> {
        Self::connect_as(replica_name(), database_url, max_connections, roots)
    }

    fn connect_as(
        name: String,
        database_url: &str,
        max_connections: u32,
        roots: &TrustedRoots,
    ) -> Result<Self, StoreError> {
        let target = connect_target(database_url, roots)?.named(&name);
        let pool = Pool::connect_lazily(target, max_connections, Deadlines::REQUEST);
        Ok(Self {
            profiles: ProfileReader::new(pool.clone()),
            snapshots: Arc::default(),
            pool,
            name,
            roots: roots.clone(),
        })
    }

    /// The number of open connections, and of idle ones.
    pub fn pool_size(&self) -> (u32, usize) {
        self.pool.size()
    }

    /// Waits for running queries, then closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Opens future connections with this URL, if it leads to the same database; open ones stay. Returns whether it does:
    /// a server must never write to two databases, so moving to another one requires a restart.
    ///
    /// # Errors
    /// [`StoreError::InvalidUrl`]
    pub fn follow_login(&self, database_url: &str) -> Result<bool, StoreError> {
        let target = connect_target(database_url, &self.roots)?;
        let is_same = target.is_same_database(&self.pool.target());
        if is_same {
            self.pool.set_target(target.named(&self.name));
        }
        Ok(is_same)
    }

    /// Whether the database was last reached through a connection pooler that shares sessions between its clients.
    pub fn is_behind_pooler(&self) -> bool {
        self.pool.is_shared()
    }
}

/// Parses the URL. With custom certificate authorities the server's certificate is verified unless the URL disables it:
/// without `sslmode` the mode is `verify-full`, and `require` means `verify-ca`, as with a root certificate in libpq
/// (PostgreSQL 18 documentation §32.19.1). A Unix socket needs no TLS.
///
/// # Errors
/// [`StoreError::InvalidUrl`], also when a certificate file that the URL names cannot be used.
pub(super) fn connect_target(database_url: &str, roots: &TrustedRoots) -> Result<Target, StoreError> {
    let url = PostgresUrl::parse(database_url).map_err(StoreError::InvalidUrl)?;
    certificate_files::check(&url).map_err(StoreError::InvalidUrl)?;
    let server = |address: Option<(&PostgresAddress, u16)>| {
        // Poolers refuse startup parameters that they do not know, and values are sent in binary form.
        let base = base_options(&url, address).extra_float_digits(None);
        let options = with_tls(base, &url, roots);
        match &url.password {
            Some(password) => options.password(password.expose()),
            None => options,
        }
    };
    let servers = url.hosts.iter().map(|host| {
        let options = server(Some((&host.address, host.port)));
        match &host.address {
            PostgresAddress::Tcp(name) => options.host(name),
            PostgresAddress::Socket(folder) => options.socket(folder).ssl_mode(PgSslMode::Disable),
        }
    });
    let mut servers: Vec<_> = servers.collect();
    if servers.is_empty() {
        servers.push(server(None));
    }
    Ok(Target { servers, connect_timeout: url.connect_timeout, pooler: url.pooler })
}

fn with_tls(options: PgConnectOptions, url: &PostgresUrl, roots: &TrustedRoots) -> PgConnectOptions {
    let mode = match (url.ssl_mode, roots.pem()) {
        (None, None) => options.get_ssl_mode(),
        (None, Some(_)) | (Some(SslMode::VerifyFull), _) => PgSslMode::VerifyFull,
        (Some(SslMode::Require), Some(_)) | (Some(SslMode::VerifyCa), _) => PgSslMode::VerifyCa,
        (Some(SslMode::Require), None) => PgSslMode::Require,
        (Some(SslMode::Prefer), _) => PgSslMode::Prefer,
        (Some(SslMode::Disable), _) => PgSslMode::Disable,
    };
    let options = options.ssl_mode(mode);
    let is_verified = matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    // The authorities of a file in the URL, or of libpq's variable, replace all others. sqlx trusts none by itself
    // (`no-public-roots`).
    let is_in_environment = roots.pem().is_none() && env::var_os("PGSSLROOTCERT").is_some();
    let options = match &url.root_certificate {
        Some(RootCertificate::File(file)) => options.ssl_root_cert(file),
        None if is_in_environment => options,
        Some(RootCertificate::System) | None if is_verified => {
            options.ssl_root_cert_from_pem(roots.system_pem().into_bytes())
        }
        Some(RootCertificate::System) | None => options,
    };
    match &url.client_certificate {
        Some(client) => options.ssl_client_cert(&client.certificate).ssl_client_key(&client.key),
        None => options,
    }
}

/// User, database, port and command-line options, and the defaults for the rest: the variables of libpq, such as `PGPASSWORD`,
/// and the password file. The client library reads that file, and takes these options, only with a URL.
fn base_options(url: &PostgresUrl, address: Option<(&PostgresAddress, u16)>) -> PgConnectOptions {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let defaults = PgConnectOptions::new_without_pgpass();
    let (host, port) = match address {
        Some((PostgresAddress::Tcp(name), port)) if name.contains(':') => (format!("[{name}]"), port),
        Some((PostgresAddress::Tcp(name), port)) => (name.clone(), port),
        Some((PostgresAddress::Socket(folder), port)) => (encoded(&folder.to_string_lossy()), port),
        None => (encoded(defaults.get_host()), defaults.get_port()),
    };
    let user = url.username.as_deref().map_or(String::new(), |user| format!("{}@", encoded(user)));
    let database = url.database.as_deref().map_or(String::new(), encoded);
    let query =
        url.options.as_deref().map_or(String::new(), |options| format!("?options={}", encoded(options)));
    let parsed = format!("postgres://{user}{host}:{port}/{database}{query}").parse();
    // Such a URL can always be parsed.
    let parsed: PgConnectOptions = parsed.unwrap_or_else(|_| defaults.clone());
    if address.is_some() { parsed } else { parsed.host(defaults.get_host()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str, roots: &TrustedRoots) -> String {
        format!("{:?}", connect_target(url, roots).unwrap().servers[0].get_ssl_mode())
    }

    #[test]
    fn custom_certificate_authorities_are_verified_against() {
        let none = TrustedRoots::default();
        let own = TrustedRoots::read(Some(std::path::Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../operator/src/auth_service/fixtures/certificate.pem"
        ))))
        .unwrap();
        let url = |query: &str| format!("postgres://u:p@db.example/auth{query}");
        for (query, without, with) in [
            ("", "Prefer", "VerifyFull"),
            ("?application_name=x", "Prefer", "VerifyFull"),
            ("?sslmode=require", "Require", "VerifyCa"),
            ("?sslmode=verify-ca", "VerifyCa", "VerifyCa"),
            ("?ssl-mode=verify-full", "VerifyFull", "VerifyFull"),
            ("?sslmode=prefer", "Prefer", "Prefer"),
            ("?sslmode=disable", "Disable", "Disable"),
        ] {
            assert_eq!(
                (mode(&url(query), &none), mode(&url(query), &own)),
                (without.to_owned(), with.to_owned()),
                "{query}"
            );
        }
        assert_eq!(mode("postgres:///auth?host=/run/postgresql&sslmode=verify-full", &own), "Disable");
        assert!(connect_target("no url", &own).is_err());
    }

    #[tokio::test]
    async fn only_the_login_may_be_another() {
        let store =
            Store::connect_lazily("postgres://a:one@db.example:5432/auth", 1, &TrustedRoots::default())
                .unwrap();
        assert_eq!(store.follow_login("postgres://b:two@db.example/auth").ok(), Some(true));
        assert_eq!(store.pool.target().servers[0].get_username(), "b");
        for other in [
            "postgres://c:x@db.example/other",
            "postgres://c:x@db2.example/auth",
            "postgres://c:x@db.example:1/auth",
            "postgres://c:x@db.example,db2.example/auth",
        ] {
            assert_eq!(store.follow_login(other).ok(), Some(false), "{other}");
        }
        assert!(store.follow_login("no url").is_err());
        assert_eq!(store.pool.target().servers[0].get_username(), "b");
    }
}

//! Connecting to PostgreSQL, and following a change of its credentials while the server runs.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::connection_limit::replica_name;
use super::pool::{Deadlines, Pool};
use super::profile_reader::ProfileReader;
use super::schema_version::application_name;
use super::{Store, StoreError};
use crate::trusted_roots::TrustedRoots;

impl Store {
    /// Creates a store that connects on first use, so that the server can start while the database is down.
    ///
    /// # Errors
    /// [`StoreError::MalformedUrl`] when the URL cannot be parsed; the message does not repeat it.
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
        let options = connect_options(database_url, roots)?.application_name(&name);
        let pool = Pool::connect_lazily(options, max_connections, Deadlines::REQUEST);
        Ok(Self { profiles: ProfileReader::new(pool.clone()), pool, name, roots: roots.clone() })
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
    /// [`StoreError::MalformedUrl`]
    pub fn follow_login(&self, database_url: &str) -> Result<bool, StoreError> {
        let options = connect_options(database_url, &self.roots)?;
        let present = self.pool.connect_options();
        let place = |options: &PgConnectOptions| {
            let name = options.get_database().unwrap_or_else(|| options.get_username()).to_owned();
            (options.get_host().to_owned(), options.get_port(), options.get_socket().cloned(), name)
        };
        let same = place(&options) == place(&present);
        if same {
            self.pool.set_connect_options(options.application_name(&self.name));
        }
        Ok(same)
    }
}

/// Parses the URL. With custom certificate authorities the server's certificate is verified unless the URL disables it:
/// without `sslmode` the mode is `verify-full`, and `require` means `verify-ca`, as with a root certificate in libpq
/// (PostgreSQL 18 documentation §32.19.1). A Unix socket needs no TLS.
///
/// # Errors
/// [`StoreError::MalformedUrl`]
pub(super) fn connect_options(
    database_url: &str,
    roots: &TrustedRoots,
) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = database_url.parse().map_err(|_| StoreError::MalformedUrl)?;
    let Some(pem) = roots.pem().filter(|_| options.get_socket().is_none()) else { return Ok(options) };
    let url = Url::parse(database_url).map_err(|_| StoreError::MalformedUrl)?;
    let says = |names: &[&str]| url.query_pairs().any(|(name, _)| names.contains(&&*name));
    let mode = match options.get_ssl_mode() {
        _ if !says(&["sslmode", "ssl-mode"]) => PgSslMode::VerifyFull,
        PgSslMode::Require => PgSslMode::VerifyCa,
        said => said,
    };
    let options = options.ssl_mode(mode);
    // A root certificate in the URL takes precedence.
    if says(&["sslrootcert", "ssl-root-cert", "ssl-ca"]) {
        return Ok(options);
    }
    Ok(options.ssl_root_cert_from_pem(pem.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str, roots: &TrustedRoots) -> String {
        format!("{:?}", connect_options(url, roots).unwrap().get_ssl_mode())
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
        assert_eq!(mode("postgres:///auth?host=/run/postgresql", &own), "Prefer");
        assert!(connect_options("no url", &own).is_err());
    }

    #[tokio::test]
    async fn only_the_login_may_be_another() {
        let store =
            Store::connect_lazily("postgres://a:one@db.example:5432/auth", 1, &TrustedRoots::default())
                .unwrap();
        assert_eq!(store.follow_login("postgres://b:two@db.example/auth").ok(), Some(true));
        assert_eq!(store.pool.connect_options().get_username(), "b");
        for other in [
            "postgres://c:x@db.example/other",
            "postgres://c:x@db2.example/auth",
            "postgres://c:x@db.example:1/auth",
        ] {
            assert_eq!(store.follow_login(other).ok(), Some(false), "{other}");
        }
        assert!(store.follow_login("no url").is_err());
        assert_eq!(store.pool.connect_options().get_username(), "b");
    }
}

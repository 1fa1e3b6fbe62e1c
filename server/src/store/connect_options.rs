//! How connections to PostgreSQL are made.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::StoreError;
use crate::trusted_roots::TrustedRoots;

/// Understands the URL. With authorities of one's own a connection is checked unless the URL says otherwise: without
/// `sslmode` it is `verify-full`, and `require` is `verify-ca`, which is what a root certificate makes of it in libpq
/// (PostgreSQL 18 documentation §32.19.1). A socket of the same machine needs no TLS.
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
    // A file that the URL names is meant for this connection alone.
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
    fn authorities_of_ones_own_are_there_to_be_checked_by() {
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
}

//! Reading the database URL, with the client certificate of the settings.

use latchkey_config::{ClientCertificate, SecretSource, SecretText};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

use crate::secrets::{SecretError, read_secret};

/// Why the database URL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseUrlError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file of the client certificate cannot be read.
    #[error("{name} {path} cannot be read: {reason}")]
    Unreadable {
        /// The variable.
        name: &'static str,
        path: String,
        /// The kind of the I/O error.
        reason: std::io::Error,
    },
}

/// Reads `DATABASE_URL` and adds the client certificate. Each connection reads its files again, because certificates are
/// renewed; they are opened here so that a fault is found at the start.
///
/// # Errors
/// [`DatabaseUrlError`], without the URL.
pub fn read_database_url(
    source: &SecretSource,
    certificate: Option<&ClientCertificate>,
) -> Result<SecretText, DatabaseUrlError> {
    let url = read_secret("DATABASE_URL", source)?;
    let Some(certificate) = certificate else { return Ok(url) };
    let files = [
        ("DATABASE_CLIENT_CERT_FILE", &certificate.certificate),
        ("DATABASE_CLIENT_KEY_FILE", &certificate.key),
    ];
    for (name, path) in files {
        if let Err(reason) = std::fs::File::open(path) {
            return Err(DatabaseUrlError::Unreadable { name, path: path.display().to_string(), reason });
        }
    }
    Ok(SecretText::new(with_client_certificate(url.expose(), certificate)))
}

/// The URL with the parameters `sslcert` and `sslkey`, unless it has one of them.
fn with_client_certificate(url: &str, certificate: &ClientCertificate) -> String {
    let query = url.rsplit_once('?').map(|(_, query)| query);
    let own = ["sslcert", "ssl-cert", "sslkey", "ssl-key"];
    if form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(name, _)| own.contains(&&*name)) {
        return url.to_owned();
    }
    let separator = match query {
        None => "?",
        Some("") => "",
        Some(_) => "&",
    };
    let encode =
        |path: &std::path::Path| utf8_percent_encode(&path.to_string_lossy(), NON_ALPHANUMERIC).to_string();
    format!(
        "{url}{separator}sslcert={}&sslkey={}",
        encode(&certificate.certificate),
        encode(&certificate.key)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_certificate_is_added_unless_the_url_names_one() {
        let certificate =
            ClientCertificate { certificate: "/c d/tls.crt".into(), key: "/c&d/tls.key".into() };
        let added = "sslcert=%2Fc%20d%2Ftls%2Ecrt&sslkey=%2Fc%26d%2Ftls%2Ekey";
        for (url, expected) in [
            ("postgres://u@db/auth", format!("postgres://u@db/auth?{added}")),
            ("postgres://u@db/auth?", format!("postgres://u@db/auth?{added}")),
            (
                "postgres://u@a,b:1/auth?sslmode=require",
                format!("postgres://u@a,b:1/auth?sslmode=require&{added}"),
            ),
            (
                "postgres://u@db/auth?sslcert=/x&sslkey=/y",
                "postgres://u@db/auth?sslcert=/x&sslkey=/y".to_owned(),
            ),
        ] {
            assert_eq!(with_client_certificate(url, &certificate), expected);
        }
    }
}

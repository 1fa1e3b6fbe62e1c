//! The custom certificate authorities of `EXTRA_CA_FILE`, which are trusted beside the public ones for PostgreSQL, Redis and
//! SMTP; and describing why a certificate is refused.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, RootCertStore};

/// A PEM line holds this many characters (RFC 7468 §2).
const LINE: usize = 64;

/// An unusable file.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("EXTRA_CA_FILE {path} cannot be read: {reason}")]
    Unreadable {
        path: String,
        /// The kind of the I/O error.
        reason: std::io::Error,
    },
    /// A certificate in the file is malformed.
    #[error("EXTRA_CA_FILE {path} is not valid: its certificate number {number} cannot be understood")]
    Malformed {
        path: String,
        /// The position of the certificate, from 1.
        number: usize,
    },
    /// The file contains no certificate.
    #[error("EXTRA_CA_FILE {path} is not valid: it holds no certificate in PEM form")]
    Empty { path: String },
}

/// The custom certificate authorities; none if `EXTRA_CA_FILE` is not set. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedRoots {
    /// The certificates, in PEM form.
    pem: Option<Arc<str>>,
}

impl TrustedRoots {
    /// Reads the file, if one is set. Refuses a file with any malformed certificate, since half a bundle would be missed later.
    ///
    /// # Errors
    /// [`RootsError`]
    pub fn read(file: Option<&Path>) -> Result<Self, RootsError> {
        let Some(file) = file else { return Ok(Self::default()) };
        let path = file.display().to_string();
        let bytes =
            std::fs::read(file).map_err(|reason| RootsError::Unreadable { path: path.clone(), reason })?;
        let mut pem = String::new();
        for (index, certificate) in CertificateDer::pem_slice_iter(&bytes).enumerate() {
            let malformed = || RootsError::Malformed { path: path.clone(), number: index + 1 };
            let certificate = certificate.map_err(|_| malformed())?;
            RootCertStore::empty().add(certificate.clone()).map_err(|_| malformed())?;
            write_pem(&mut pem, &certificate);
        }
        if pem.is_empty() {
            return Err(RootsError::Empty { path });
        }
        Ok(Self { pem: Some(pem.into()) })
    }

    /// The certificates, in PEM form.
    pub fn pem(&self) -> Option<&str> {
        self.pem.as_deref()
    }

    /// These and the system's certificates, for a client that accepts only one set.
    pub fn pem_with_system(&self) -> Option<String> {
        self.pem().map(|_| self.system_pem())
    }

    /// The system's certificates, and these.
    pub fn system_pem(&self) -> String {
        let mut pem = self.pem().unwrap_or_default().to_owned();
        for certificate in rustls_native_certs::load_native_certs().certs {
            // The client would refuse all certificates because of a malformed one.
            if RootCertStore::empty().add(certificate.clone()).is_ok() {
                write_pem(&mut pem, &certificate);
            }
        }
        pem
    }
}

fn write_pem(pem: &mut String, certificate: &CertificateDer<'_>) {
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let text = STANDARD.encode(certificate);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        let _ = writeln!(pem, "{line}");
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
}

/// Why the server's certificate was refused, if that is why a connection failed.
pub fn describe_refusal(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(reason) = find_tls_error(error)? else {
        return Some("TLS could not be agreed on");
    };
    Some(match reason {
        CertificateError::UnknownIssuer => {
            "its certificate is not trusted: name the authority that it is from in EXTRA_CA_FILE (spec.trustedCAs)"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another host name than the one that is set"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet"
        }
        _ => "its certificate cannot be accepted",
    })
}

/// Whether the server ended the handshake because it did not get a client certificate that it accepts.
pub fn requires_client_certificate(error: &(dyn Error + 'static)) -> bool {
    use rustls::AlertDescription::{
        BadCertificate, CertificateExpired, CertificateRequired, CertificateUnknown, UnknownCA,
    };
    matches!(
        find_tls_error(error),
        Some(rustls::Error::AlertReceived(
            BadCertificate | CertificateExpired | CertificateRequired | CertificateUnknown | UnknownCA
        ))
    )
}

fn find_tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // These two name as their source what the error inside them names, and not the error itself.
        next = if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
            Some(&**shared)
        } else if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner)
        } else {
            error.source()
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(text: &str) -> Result<TrustedRoots, RootsError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        TrustedRoots::read(Some(file.path()))
    }

    #[test]
    fn what_holds_no_certificate_or_a_broken_one_is_refused() {
        assert!(matches!(read(""), Err(RootsError::Empty { .. })));
        assert!(matches!(read("hello"), Err(RootsError::Empty { .. })));
        let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        assert!(matches!(read(key), Err(RootsError::Empty { .. })));
        let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert!(matches!(read(broken), Err(RootsError::Malformed { number: 1, .. })));
        assert!(matches!(
            TrustedRoots::read(Some(Path::new("/nowhere"))),
            Err(RootsError::Unreadable { .. })
        ));
        assert_eq!(TrustedRoots::read(None).unwrap().pem(), None);
    }

    #[test]
    fn the_words_are_found_however_deep_the_reason_lies() {
        let reason = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let io = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
        let shared: Arc<dyn Error + Send + Sync> = Arc::new(io);
        assert!(describe_refusal(&shared).unwrap().contains("EXTRA_CA_FILE"));
        assert_eq!(describe_refusal(&std::io::Error::other("another")), None);
    }
}

//! TLS on the API port: HTTP/1.1 and HTTP/2 by ALPN, with a certificate that is read again when its files change.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use latchkey_config::{ClientCertificate, variables};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::parse_x509_certificate;

use crate::metrics::{Metrics, ReloadedFile};

/// How often the files are compared with what was read last.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    #[error("{variable} {file} cannot be read: {source}")]
    Unreadable { variable: &'static str, file: String, source: std::io::Error },
    #[error("TLS_CERT_FILE {0} contains no certificate in PEM form")]
    NoCertificate(String),
    #[error("TLS_KEY_FILE {0} contains no private key in PEM form without a password")]
    NoKey(String),
    #[error("TLS_KEY_FILE {key} is not the key of the certificate in TLS_CERT_FILE {certificate}")]
    OtherKey { certificate: String, key: String },
    #[error("the certificate in TLS_CERT_FILE {file} expired at {until}: renew it")]
    Expired { file: String, until: DateTime<Utc> },
    #[error("the certificate in TLS_CERT_FILE {file} is not valid before {from}")]
    NotYetValid { file: String, from: DateTime<Utc> },
    #[error("the TLS configuration is invalid: {0}")]
    Configuration(rustls::Error),
}

/// The files' content, to be compared only.
#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Terminates TLS with the last valid certificate.
pub struct ServerTls {
    files: ClientCertificate,
    read_at_start: Content,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

struct Current(ArcSwap<CertifiedKey>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(files: &ClientCertificate) -> Result<Self, CertificateFault> {
        let content = Content::read(files)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(parse(files, &content, Utc::now())?)));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(CertificateFault::Configuration)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { files: files.clone(), read_at_start: content, current, acceptor })
    }

    /// The handshake of one connection.
    ///
    /// # Errors
    /// When the client does not speak TLS, or refuses the certificate.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }

    /// Follows the files. New connections use a new certificate; an invalid one is refused, and the last valid one stays
    /// in use.
    pub async fn follow(self: Arc<Self>, metrics: Arc<Metrics>) {
        let (mut known, mut reported) = (None, String::new());
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let read = match Content::read(&self.files) {
                Ok(content) if content == *known.as_ref().unwrap_or(&self.read_at_start) => {
                    // Also after it was replaced by an invalid one and restored.
                    reported.clear();
                    metrics.set_file_refused(ReloadedFile::Certificate, false);
                    continue;
                }
                Ok(content) => parse(&self.files, &content, Utc::now()).map(|parsed| (content, parsed)),
                Err(fault) => Err(fault),
            };
            match read {
                Ok((content, parsed)) => {
                    self.current.0.store(Arc::new(parsed));
                    known = Some(content);
                    reported.clear();
                    metrics.count_reload(ReloadedFile::Certificate, true);
                    tracing::info!("the TLS certificate was read again");
                }
                Err(fault) => {
                    let fault = fault.to_string();
                    // Once for each fault, not for each check.
                    if fault != reported {
                        metrics.count_reload(ReloadedFile::Certificate, false);
                        tracing::error!(
                            fault,
                            "the TLS certificate was not read; the last valid one stays in use"
                        );
                        reported = fault;
                    }
                }
            }
        }
    }
}

impl Content {
    fn read(files: &ClientCertificate) -> Result<Self, CertificateFault> {
        let read = |variable, file: &Path| {
            std::fs::read(file).map_err(|source| CertificateFault::Unreadable {
                variable,
                file: file.display().to_string(),
                source,
            })
        };
        Ok(Self {
            certificate: read(variables::TLS_CERT_FILE, &files.certificate)?,
            key: read(variables::TLS_KEY_FILE, &files.key)?,
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn parse(
    files: &ClientCertificate,
    content: &Content,
    now: DateTime<Utc>,
) -> Result<CertifiedKey, CertificateFault> {
    let certificate = files.certificate.display().to_string();
    let key = files.key.display().to_string();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let Some(chain) = chain else { return Err(CertificateFault::NoCertificate(certificate)) };
    // The first certificate is the server's (RFC 8446 §4.4.2).
    let Ok((_, first)) = parse_x509_certificate(&chain[0]) else {
        return Err(CertificateFault::NoCertificate(certificate));
    };
    let time = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let from = time(first.validity().not_before.timestamp());
    let until = time(first.validity().not_after.timestamp());
    if now > until {
        return Err(CertificateFault::Expired { file: certificate, until });
    }
    if now < from {
        return Err(CertificateFault::NotYetValid { file: certificate, from });
    }
    let Ok(private) = PrivateKeyDer::from_pem_slice(&content.key) else {
        return Err(CertificateFault::NoKey(key));
    };
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => CertificateFault::OtherKey { certificate, key },
        _ => CertificateFault::NoKey(key),
    })
}

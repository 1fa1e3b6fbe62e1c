//! Checks the certificate files of a URL when it is read, so that the message names the file. They are read again for each
//! connection, so that renewed certificates are used.

use std::path::Path;

use latchkey_config::{PostgresUrl, RootCertificate};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// # Errors
/// What is wrong with the first unusable file.
pub(super) fn check(url: &PostgresUrl) -> Result<(), String> {
    if let Some(RootCertificate::File(file)) = &url.root_certificate {
        check_certificates("sslrootcert", file)?;
    }
    if let Some(client) = &url.client_certificate {
        check_certificates("sslcert", &client.certificate)?;
        if PrivateKeyDer::from_pem_slice(&read("sslkey", &client.key)?).is_err() {
            let file = client.key.display();
            return Err(format!(
                "its `sslkey` {file} contains no private key in PEM form without a password"
            ));
        }
    }
    Ok(())
}

fn check_certificates(parameter: &str, file: &Path) -> Result<(), String> {
    let bytes = read(parameter, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(()),
        _ => Err(format!("its `{parameter}` {} contains no certificate in PEM form", file.display())),
    }
}

fn read(parameter: &str, file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file)
        .map_err(|error| format!("its `{parameter}` {} cannot be read: {error}", file.display()))
}

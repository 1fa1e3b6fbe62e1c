//! Private certificate authorities, created with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::process::{run_ok, temporary_folder};

/// A certificate authority that no system trusts by default.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issued: AtomicU32,
}

/// The certificate of a server and its private key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, in PEM form.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

impl Authority {
    /// Creates one with this name.
    pub fn new(name: &str) -> Self {
        let authority = Self { folder: temporary_folder("authority-"), issued: AtomicU32::new(0) };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-days", "2"]).args(KEY);
        openssl.arg("-subj").arg(format!("/CN={name}"));
        openssl.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
        openssl.args(["-addext", "keyUsage=critical,keyCertSign"]);
        openssl.arg("-keyout").arg(authority.file("ca.key")).arg("-out").arg(authority.bundle());
        run_ok(&mut openssl);
        authority
    }

    /// The path of its own certificate, in PEM form.
    pub fn bundle(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// The text of [`Authority::bundle`].
    ///
    /// # Panics
    /// When the file cannot be read.
    pub fn text(&self) -> String {
        std::fs::read_to_string(self.bundle()).expect("the authority's certificate")
    }

    /// Issues a certificate for 127.0.0.1.
    pub fn issue(&self) -> Certificate {
        self.issue_for("IP:127.0.0.1")
    }

    /// Issues a certificate for these names, in the syntax of `subjectAltName`.
    pub fn issue_for(&self, names: &str) -> Certificate {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let (certificate, key) = (self.file(&format!("{number}.crt")), self.file(&format!("{number}.key")));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-days", "2"]).args(KEY);
        openssl.args(["-subj", "/CN=server.example.test", "-addext"]).arg(format!("subjectAltName={names}"));
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.arg("-CA").arg(self.bundle()).arg("-CAkey").arg(self.file("ca.key"));
        openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        run_ok(&mut openssl);
        Certificate { certificate, key }
    }

    /// Issues a certificate for 127.0.0.1 that has expired.
    pub fn issue_expired(&self) -> Certificate {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let file = |suffix: &str| self.file(&format!("{number}.{suffix}"));
        let expired = Certificate { certificate: file("crt"), key: file("key") };
        let mut request = Command::new("openssl");
        request.arg("req").args(KEY).args(["-subj", "/CN=server.example.test"]);
        request.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
        run_ok(request.arg("-keyout").arg(&expired.key).arg("-out").arg(file("csr")));
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-days", "-1", "-copy_extensions", "copy"]);
        sign.arg("-CA").arg(self.bundle()).arg("-CAkey").arg(self.file("ca.key"));
        run_ok(sign.arg("-in").arg(file("csr")).arg("-out").arg(&expired.certificate));
        expired
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Certificate {
    /// Copies both files into this folder, for a server that checks the owner of its private key.
    pub(crate) fn copied_into(&self, folder: &Path) -> Self {
        let copy = Self { certificate: folder.join("server.crt"), key: folder.join("server.key") };
        std::fs::copy(&self.certificate, &copy.certificate).expect("the certificate is copied");
        std::fs::copy(&self.key, &copy.key).expect("the key is copied");
        copy
    }
}

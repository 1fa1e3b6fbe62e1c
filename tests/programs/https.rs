//! Latchkey behind nginx with TLS, so that programs reach it at the address of its issuer, as applications do.

use std::path::{Path, PathBuf};
use std::process::Command;

use latchkey_tests::app::{App, Setup};
use latchkey_tests::authority::Authority;
use latchkey_tests::process::{free_port, run_ok};
use latchkey_tests::proxies::Proxy;

/// A running Latchkey whose issuer is `https://127.0.0.1:<port>`.
pub struct Https {
    pub app: App,
    pub issuer: String,
    /// The authority that signed the certificate.
    pub authority: Authority,
    _proxy: Proxy,
}

impl Https {
    /// Starts it with these settings.
    pub async fn start(setup: Setup) -> Self {
        let port = free_port();
        let issuer = format!("https://127.0.0.1:{port}");
        let app = setup.set("ISSUER_URL", &issuer).start().await;
        let authority = Authority::new("programs");
        let certificate = authority.issue();
        let proxy = Proxy::nginx(&format!(
            "server {{
                listen 80;
                listen 127.0.0.1:{port} ssl;
                ssl_certificate {};
                ssl_certificate_key {};
                location / {{
                    proxy_set_header Host $http_host;
                    proxy_pass http://{};
                }}
            }}",
            certificate.certificate.display(),
            certificate.key.display(),
            app.server().authority(),
        ))
        .await;
        Self { app, issuer, authority, _proxy: proxy }
    }

    /// Lets programs in Go, Node.js and Python trust the certificate.
    pub fn trusted_by<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for variable in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"] {
            command.env(variable, self.authority.bundle());
        }
        command
    }

    /// A trust store for Java in this folder; its password is `changeit`.
    pub fn trust_store(&self, folder: &Path) -> PathBuf {
        let store = folder.join("trust.p12");
        let mut command = Command::new("keytool");
        command.args(["-importcert", "-noprompt", "-alias", "programs", "-storetype", "PKCS12"]);
        command.args(["-storepass", "changeit", "-keystore"]).arg(&store);
        run_ok(command.arg("-file").arg(self.authority.bundle()));
        store
    }
}

//! `TLS_CERT_FILE`: the API port serves HTTPS, and follows renewed certificates.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use latchkey_tests::app::{Setup, path};
use latchkey_tests::authority::{Authority, Certificate};
use latchkey_tests::server::{Server, Variables, run_command};
use latchkey_tests::wait;
use tempfile::TempDir;

/// The files of a certificate, which the server follows.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(certificate: &Certificate) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a folder") };
        files.replace(certificate);
        files
    }

    fn replace(&self, certificate: &Certificate) {
        for (from, to) in [(&certificate.key, "tls.key"), (&certificate.certificate, "tls.crt")] {
            fs::copy(from, self.path(to)).expect("the file is replaced");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn variables(&self) -> [(&'static str, String); 2] {
        [("TLS_CERT_FILE", "tls.crt"), ("TLS_KEY_FILE", "tls.key")]
            .map(|(name, file)| (name, self.path(file).display().to_string()))
    }
}

/// The status and the HTTP version of a request by a client that trusts one authority, or why it failed.
fn request(server: &Server, authority: &Authority, protocol: &str) -> Result<String, String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--output", "/dev/null", protocol]);
    curl.arg("--cacert").arg(authority.bundle());
    curl.args(["--write-out", "%{http_code} %{http_version}"]);
    curl.arg(format!("https://{}{}", server.authority(), path::JWKS));
    let output = curl.output().expect("curl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test]
async fn the_api_is_served_by_https_only_and_a_renewed_certificate_is_used() {
    let authority = Authority::new("API CA");
    let files = Files::new(&authority.issue());
    let mut setup = Setup::default();
    for (name, value) in files.variables() {
        setup = setup.set(name, &value);
    }
    let app = setup.start().await;
    let server = app.server();
    assert_eq!(request(server, &authority, "--http1.1").as_deref(), Ok("200 1.1"));
    assert_eq!(request(server, &authority, "--http2").as_deref(), Ok("200 2"));
    assert!(server.get(path::JWKS).send().await.is_err(), "without TLS there is no answer");
    // The management port has no TLS.
    assert_eq!(server.readiness().await.status, 200);

    let next = Authority::new("Next CA");
    assert!(request(server, &next, "--http2").is_err());
    let renewed = next.issue();
    files.replace(&renewed);
    wait::until("the renewed certificate", async || request(server, &next, "--http2")).await;
    server.wait_for_log("the TLS certificate was read again").await;

    // An invalid one is refused and counted, and the last valid one stays in use.
    fs::write(files.path("tls.crt"), "no certificate").expect("the file is damaged");
    server.wait_for_log("contains no certificate in PEM form").await;
    assert_eq!(request(server, &next, "--http2").as_deref(), Ok("200 2"));
    fs::remove_file(files.path("tls.key")).expect("the file is removed");
    let removed = format!("TLS_KEY_FILE {} cannot be read", files.path("tls.key").display());
    let line = server.wait_for_log(&removed).await;
    assert!(line.contains("the last valid one stays in use"), "{line}");
    assert_eq!(request(server, &next, "--http2").as_deref(), Ok("200 2"));
    let refused = server.metric("latchkey_tls_certificate_reloads_total", &["refused"]).await;
    let loaded = server.metric("latchkey_tls_certificate_reloads_total", &["loaded"]).await;
    assert!(refused >= 2.0 && loaded >= 1.0, "{refused} {loaded}");

    // Until the certificate that is in use is restored, or another one can be used.
    let refused_now =
        async || server.metric("latchkey_file_refused", &["file=\"certificate\""]).await.to_string();
    assert_eq!(refused_now().await, "1");
    files.replace(&renewed);
    wait::until_equal("the metric", "0".to_owned(), refused_now).await;
    fs::write(files.path("tls.crt"), "no certificate").expect("the file is damaged again");
    wait::until_equal("the metric", "1".to_owned(), refused_now).await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_an_error_at_start() {
    let authority = Authority::new("API CA");
    let (one, other, expired) = (authority.issue(), authority.issue(), authority.issue_expired());
    let app = Setup::default().start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let damaged = folder.path().join("damaged.pem");
    fs::write(&damaged, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("a file");
    let absent = PathBuf::from("/nowhere/tls.crt");
    let cases = [
        (&absent, &one.key, "TLS_CERT_FILE /nowhere/tls.crt cannot be read"),
        (&one.certificate, &absent, "TLS_KEY_FILE /nowhere/tls.crt cannot be read"),
        (&damaged, &one.key, "contains no certificate in PEM form"),
        (&one.key, &one.key, "contains no certificate in PEM form"),
        (&one.certificate, &one.certificate, "contains no private key in PEM form"),
        (&one.certificate, &other.key, "is not the key of the certificate"),
        (&expired.certificate, &expired.key, "expired at"),
    ];
    for (certificate, key, fault) in cases {
        let mut variables: Variables = app.variables.clone();
        for (name, file) in [("TLS_CERT_FILE", certificate), ("TLS_KEY_FILE", key)] {
            variables.insert(name.to_owned(), file.display().to_string());
        }
        for arguments in [&["serve"][..], &["check"]] {
            let output = run_command(arguments, &variables);
            let text = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).expect("text");
            assert!(!output.status.success() && text.contains(fault), "{fault}: {arguments:?}: {text}");
        }
    }
    for (missing, given) in [("TLS_CERT_FILE", "TLS_KEY_FILE"), ("TLS_KEY_FILE", "TLS_CERT_FILE")] {
        let mut variables = app.variables.clone();
        variables.insert(given.to_owned(), one.key.display().to_string());
        let output = run_command(&["serve"], &variables);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(&format!("{missing} is required because {given} is set")), "{text}");
    }
}

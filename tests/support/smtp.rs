//! Mailpit, an SMTP server that stores the received messages and shows them.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::authority::Certificate;
use crate::process::{OnParentDeath, Process, free_port, run_ok, temporary_folder};
use crate::{logs, programs, wait};

/// The user name that [`Smtp::StartTls`] and [`Smtp::Implicit`] require.
pub const USER: &str = "latchkey@mail.example.test";

/// The security that the server requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Smtp {
    /// No TLS and no login.
    Plain,
    /// STARTTLS and a login.
    StartTls,
    /// TLS from the first byte and a login.
    Implicit,
}

/// A running server.
#[derive(Debug)]
pub struct Mailpit {
    process: Option<Process>,
    smtp: Smtp,
    smtp_port: u16,
    api_port: u16,
    password: String,
    folder: TempDir,
    /// Issued by a certificate authority that the test configures in the auth server.
    issued: Option<Certificate>,
    client: reqwest::Client,
}

/// A received message.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The message in the format of Mailpit's API.
    pub message: Value,
}

impl Mailpit {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(smtp: Smtp) -> Self {
        Self::launch(smtp, None).await
    }

    /// Starts one with this certificate.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with_tls(smtp: Smtp, certificate: &Certificate) -> Self {
        Self::launch(smtp, Some(certificate.clone())).await
    }

    async fn launch(smtp: Smtp, issued: Option<Certificate>) -> Self {
        let folder = temporary_folder("mail-");
        let password = logs::secret("smtp");
        std::fs::write(folder.path().join("logins"), format!("{USER}:{password}\n")).expect("the logins");
        let mut mailpit = Self {
            process: None,
            smtp,
            smtp_port: free_port(),
            api_port: free_port(),
            password,
            folder,
            issued,
            client: reqwest::Client::builder().timeout(wait::PATIENCE).build().expect("an HTTP client"),
        };
        if smtp != Smtp::Plain && mailpit.issued.is_none() {
            mailpit.create_certificate();
        }
        mailpit.start_again().await;
        mailpit
    }

    /// Starts it again on the same ports with the stored messages.
    pub async fn start_again(&mut self) {
        let mut command = Command::new(programs::test_bed("mailpit"));
        command.arg("--smtp").arg(format!("127.0.0.1:{}", self.smtp_port));
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.api_port));
        command.arg("--database").arg(self.file("mail.db"));
        command.args(["--disable-version-check", "--smtp-disable-rdns", "--enable-chaos", "--max", "0"]);
        if self.smtp != Smtp::Plain {
            command.arg("--smtp-auth-file").arg(self.file("logins"));
            let own = Certificate { certificate: self.certificate(), key: self.file("key.pem") };
            let Certificate { certificate, key } = self.issued.as_ref().unwrap_or(&own);
            command.arg("--smtp-tls-cert").arg(certificate).arg("--smtp-tls-key").arg(key);
            command.arg(if self.smtp == Smtp::StartTls {
                "--smtp-require-starttls"
            } else {
                "--smtp-require-tls"
            });
        }
        self.process = Some(Process::start(&command, OnParentDeath::Kill));
        wait::until("Mailpit to respond", || self.client.get(self.api("info")).send()).await;
        let smtp = ("127.0.0.1", self.smtp_port);
        wait::until("Mailpit to accept SMTP connections", || tokio::net::TcpStream::connect(smtp)).await;
    }

    /// Stops it; the received messages remain.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate();
            process.wait();
        }
    }

    /// The variables with which the auth server sends its e-mail here.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("EMAILS_ENABLED", "true".to_owned()),
            ("SMTP_HOST", "127.0.0.1".to_owned()),
            ("SMTP_PORT", self.smtp_port.to_string()),
            ("SMTP_TLS", (self.smtp == Smtp::StartTls).to_string()),
            ("SMTP_SSL", (self.smtp == Smtp::Implicit).to_string()),
            ("EMAILS_FROM_EMAIL", "no-reply@example.test".to_owned()),
            ("EMAILS_FROM_NAME", "Example Accounts".to_owned()),
        ];
        if self.smtp != Smtp::Plain {
            variables.push(("SMTP_USER", USER.to_owned()));
            variables.push(("SMTP_PASSWORD", self.password.clone()));
        }
        if self.smtp != Smtp::Plain && self.issued.is_none() {
            // The auth server trusts the certificates of the system, whose file this variable sets.
            variables.push(("SSL_CERT_FILE", self.certificate().display().to_string()));
        }
        variables
    }

    /// Every message to `address`, the oldest first.
    ///
    /// # Panics
    /// When Mailpit does not respond.
    pub async fn mail_to(&self, address: &str) -> Vec<Mail> {
        let all = self.get_json("messages?limit=500").await;
        let mut found = Vec::new();
        for summary in all["messages"].as_array().expect("a list of messages").iter().rev() {
            let to = summary["To"].as_array().into_iter().flatten();
            if to.filter_map(|to| to["Address"].as_str()).any(|to| to == address) {
                let id = summary["ID"].as_str().expect("an ID");
                found.push(Mail { message: self.get_json(&format!("message/{id}")).await });
            }
        }
        found
    }

    /// The newest message to `address`, without an assertion that Mailpit responds.
    pub async fn newest_to(&self, address: &str) -> Option<Mail> {
        let found = self
            .client
            .get(self.api("search"))
            .query(&[("query", format!("to:{address}")), ("limit", "1".into())]);
        let found: Value = found.send().await.ok()?.json().await.ok()?;
        let id = found["messages"][0]["ID"].as_str()?;
        let message =
            self.client.get(self.api(&format!("message/{id}"))).send().await.ok()?.json().await.ok()?;
        Some(Mail { message })
    }

    /// The `Message-ID`, the first recipient and the time of every message, the newest first.
    ///
    /// # Panics
    /// When Mailpit does not respond.
    pub async fn message_ids(&self) -> Vec<(String, String, String)> {
        let all = self.get_json("messages?limit=1000000").await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let messages = all["messages"].as_array().expect("a list of messages").iter();
        let summary = |message: &Value| {
            (text(&message["MessageID"]), text(&message["To"][0]["Address"]), text(&message["Created"]))
        };
        messages.map(summary).collect()
    }

    /// The recipients of all messages.
    ///
    /// # Panics
    /// When Mailpit does not respond.
    pub async fn recipients(&self) -> Vec<String> {
        let all = self.get_json("messages?limit=10000").await;
        let messages = all["messages"].as_array().expect("a list of messages").iter();
        let to = messages.flat_map(|message| message["To"].as_array().into_iter().flatten());
        to.filter_map(|to| to["Address"].as_str().map(str::to_owned)).collect()
    }

    /// Waits for `count` messages to `address`.
    pub async fn wait_for(&self, address: &str, count: usize) -> Vec<Mail> {
        wait::until(&format!("{count} messages to {address}"), || async {
            let mail = self.mail_to(address).await;
            if mail.len() >= count { Ok(mail) } else { Err(mail) }
        })
        .await
    }

    /// Refuses every recipient with this SMTP code, or accepts them again (`None`).
    ///
    /// # Panics
    /// When Mailpit does not respond.
    pub async fn refuse_recipients(&self, code: Option<u16>) {
        let trigger =
            |probability| serde_json::json!({ "ErrorCode": code.unwrap_or(451), "Probability": probability });
        let triggers = serde_json::json!({
            "Sender": trigger(0),
            "Recipient": trigger(if code.is_some() { 100 } else { 0 }),
            "Authentication": trigger(0),
        });
        let answer = self.client.put(self.api("chaos")).json(&triggers).send().await.expect("Mailpit");
        assert!(answer.status().is_success(), "chaos: {}", answer.status());
    }

    async fn get_json(&self, path: &str) -> Value {
        let answer = self.client.get(self.api(path)).send().await.expect("Mailpit responds");
        answer.json().await.expect("a response in JSON")
    }

    fn api(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/api/v1/{path}", self.api_port)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certificate(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    /// Creates a self-signed certificate.
    fn create_certificate(&self) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args(["-days", "2", "-subj", "/CN=mail.example.test"]);
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
        // Not a CA certificate: verifiers refuse one that a server uses.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.arg("-keyout").arg(self.file("key.pem")).arg("-out").arg(self.certificate());
        run_ok(&mut openssl);
    }
}

impl Mail {
    /// The text part.
    pub fn text(&self) -> &str {
        self.message["Text"].as_str().unwrap_or_default()
    }

    /// The HTML part.
    pub fn html(&self) -> &str {
        self.message["HTML"].as_str().unwrap_or_default()
    }

    /// The subject.
    pub fn subject(&self) -> &str {
        self.message["Subject"].as_str().unwrap_or_default()
    }

    /// The only link in the text part.
    ///
    /// # Panics
    /// When there is none or more than one.
    pub fn link(&self) -> reqwest::Url {
        let mut links = self.text().split_whitespace().filter(|word| word.contains("://"));
        let link = links.next().expect("a link in the text part");
        assert_eq!(links.next(), None, "one link only");
        link.parse().expect("the link is a URL")
    }

    /// The token in that link.
    ///
    /// # Panics
    /// When it has none.
    pub fn token(&self) -> String {
        let link = self.link();
        let (_, token) = link.query_pairs().find(|(name, _)| name == "token").expect("a token in the link");
        token.into_owned()
    }
}

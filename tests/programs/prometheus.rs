//! Debian's Prometheus scrapes an application behind forward authentication, with the settings of
//! docs/how-to/authenticate-applications.md, word for word.

use std::fs;
use std::process::Command;

use latchkey_tests::app::App;
use latchkey_tests::clients_file::TestClient;
use latchkey_tests::process::{OnParentDeath, Process, free_port, temporary_folder};
use latchkey_tests::proxies::Proxy;
use latchkey_tests::{programs, wait};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::forward_auth::documented;
use crate::gateways;
use crate::https::Https;

const SECRET_FILE: &str = "/etc/prometheus/latchkey/client-secret";

struct Prometheus {
    _process: Process,
    _folder: TempDir,
    url: String,
}

impl Prometheus {
    /// Starts it with the documented job `orders`, and a job `anonymous` that scrapes the same target without a token.
    fn start(https: &Https, client: &TestClient, target: &str) -> Self {
        let folder = temporary_folder("prometheus-");
        let secret = folder.path().join("client-secret");
        fs::write(&secret, &client.secret).unwrap();
        let page = "docs/how-to/authenticate-applications.md";
        let mut settings = gateways::documented(page, "## Prometheus");
        for (placeholder, value) in [
            ("https://auth.example.com", https.issuer.as_str()),
            (SECRET_FILE, secret.to_str().unwrap()),
            ("orders.shop.svc:80", target),
        ] {
            assert!(settings.contains(placeholder), "{placeholder} is not in the documented settings");
            settings = settings.replace(placeholder, value);
        }
        let anonymous = format!("- job_name: anonymous\n  static_configs:\n  - targets: [{target:?}]\n");
        let settings = format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n{settings}{anonymous}");
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, settings).unwrap();

        let port = free_port();
        let mut command = Command::new(programs::debian("prometheus"));
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start(https.trusted_by(&mut command), OnParentDeath::Kill);
        Self { _process: process, _folder: folder, url: format!("http://127.0.0.1:{port}") }
    }

    /// The health of the target of each job, and the last error.
    async fn target(&self, job: &str) -> Result<(Value, Value), String> {
        let response = Client::new().get(format!("{}/api/v1/targets", self.url)).send().await;
        let text = response.map_err(|e| e.to_string())?.text().await.map_err(|e| e.to_string())?;
        let body: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        let targets = body["data"]["activeTargets"].as_array().ok_or("no targets")?;
        let target = targets.iter().find(|target| target["labels"]["job"] == job).ok_or("no such job")?;
        Ok((target["health"].clone(), target["lastError"].clone()))
    }

    async fn wait_until_up(&self, job: &str) {
        wait::until_equal(&format!("the health of {job}"), Ok(json!("up")), async || {
            self.target(job).await.map(|(health, _)| health)
        })
        .await;
    }

    /// Prometheus reads the error before the health, so that a scrape between the two shows a health without its error; and
    /// on a busy machine a scrape may time out before.
    async fn wait_until_refused(&self, job: &str) {
        wait::until(&format!("the target of {job} to be down because of 401"), async || {
            let (health, error) = self.target(job).await?;
            let is_refused = health == "down" && error.as_str().is_some_and(|error| error.contains("401"));
            wait::check(is_refused, format!("{health}: {error}"))
        })
        .await;
    }
}

#[tokio::test]
async fn prometheus_scrapes_a_protected_application() {
    let client = TestClient::new("prometheus", &["metrics:read"]).with("audiences", json!([]));
    let https = Https::start(App::setup().clients(std::slice::from_ref(&client))).await;
    let server = https.app.server();
    // The application is Latchkey's own management port, which has metrics.
    let settings = documented("nginx")
        .replace("latchkey.auth.svc:8080", server.authority())
        .replace("app.example.svc:3000", server.management.trim_start_matches("http://"));
    let application = Proxy::nginx(&settings).await;
    let prometheus = Prometheus::start(&https, &client, application.url.trim_start_matches("http://"));

    prometheus.wait_until_up("orders").await;
    prometheus.wait_until_refused("anonymous").await;

    https.app.register(&[]).await;
    prometheus.wait_until_refused("orders").await;
}

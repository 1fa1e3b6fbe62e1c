//! Keycloak with its default settings on a PostgreSQL of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use latchkey_tests::app::Session;
use latchkey_tests::process::{OnParentDeath, Process, free_port};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::data::PASSWORD;
use crate::flows::{Grants, Read};
use crate::instance::Instance;
use crate::load::Flow;
use crate::progress;
use crate::stack::{Call, disk_folder};

/// How long a start may take: the first one creates the tables.
const START: Duration = Duration::from_mins(5);

/// The accounts; Keycloak hashes their passwords when they are created.
const USERS: usize = 200;

const ADMIN: &str = "admin";
const REALM: &str = "bench";
const TOKEN: &str = "/realms/bench/protocol/openid-connect/token";
const USERINFO: &str = "/realms/bench/protocol/openid-connect/userinfo";

/// A running Keycloak with a realm, a public client and some accounts.
pub struct Keycloak {
    pub process: Process,
    /// The address of its API.
    pub api: SocketAddr,
    client: Client,
    /// The time from the start of the process to readiness, with the schema in place.
    pub start: Duration,
    _postgres: Instance,
    _folder: TempDir,
}

impl Keycloak {
    /// Starts the one in a folder, which `scripts/bench-peers` has prepared.
    pub async fn start(home: &Path) -> anyhow::Result<Self> {
        progress("starting Keycloak");
        let folder = disk_folder()?;
        Instance::create(folder.path())?;
        let postgres = Instance::start(folder.path(), &[])?;
        let client = Client::builder().timeout(Duration::from_mins(2)).build()?;
        // The first start creates the schema, the second one is measured.
        let (process, _, _) = Self::run(home, &postgres, &client).await?;
        drop(process);
        let (process, api, start) = Self::run(home, &postgres, &client).await?;
        let keycloak = Self { process, api, client, start, _postgres: postgres, _folder: folder };
        keycloak.create_realm().await?;
        Ok(keycloak)
    }

    async fn run(
        home: &Path,
        postgres: &Instance,
        client: &Client,
    ) -> anyhow::Result<(Process, SocketAddr, Duration)> {
        let (api, management) = (free_port(), free_port());
        let script: PathBuf = home.join("bin/kc-exec.sh");
        let mut command = Command::new(script);
        command.args(["start", "--optimized", "--http-enabled=true", "--http-host=127.0.0.1"]);
        // The issuer of the tokens, whatever host a client names.
        command.arg(format!("--hostname=http://127.0.0.1:{api}")).arg(format!("--http-port={api}"));
        command.arg(format!("--http-management-port={management}")).current_dir(home);
        command.env("KC_DB_URL", format!("jdbc:postgresql://127.0.0.1:{}/postgres", postgres.port()));
        command.env("KC_DB_USERNAME", "latchkey").env("KC_DB_PASSWORD", postgres.password());
        command.env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN).env("KC_BOOTSTRAP_ADMIN_PASSWORD", PASSWORD);
        let begin = Instant::now();
        let mut process = Process::start(&command, OnParentDeath::Kill);
        let ready = format!("http://127.0.0.1:{management}/health/ready");
        while !client.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200) {
            ensure!(process.is_running(), "Keycloak ended: {:?}", process.stderr.all());
            ensure!(begin.elapsed() < START, "Keycloak does not become ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok((process, SocketAddr::from(([127, 0, 0, 1], api)), begin.elapsed()))
    }

    async fn create_realm(&self) -> anyhow::Result<()> {
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", ADMIN),
            ("password", PASSWORD),
        ];
        let token = self.grant("/realms/master/protocol/openid-connect/token", &form).await?;
        let token = token["access_token"].as_str().context("an access token")?;
        let users: Vec<Value> = (1..=USERS)
            .map(|n| {
                json!({
                    "username": format!("load-{n}"), "email": format!("load-{n}@example.test"), "enabled": true,
                    "emailVerified": true, "firstName": "Load", "lastName": n.to_string(),
                    "credentials": [{ "type": "password", "value": PASSWORD, "temporary": false }],
                })
            })
            .collect();
        let realm = json!({
            "realm": REALM, "enabled": true, "sslRequired": "none", "accessTokenLifespan": 3_600, "users": users,
            "clients": [{ "clientId": REALM, "publicClient": true, "directAccessGrantsEnabled": true }],
        });
        let request = self.client.post(format!("http://{}/admin/realms", self.api)).bearer_auth(token);
        let answer = request.json(&realm).send().await?;
        ensure!(answer.status() == 201, "the realm: {}", answer.text().await?);
        Ok(())
    }

    async fn grant(&self, path: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
        let answer = self.client.post(format!("http://{}{path}", self.api)).form(form).send().await?;
        let text = answer.text().await?;
        serde_json::from_str(&text).with_context(|| format!("a token response: {text}"))
    }

    /// Sessions of some accounts.
    async fn sessions(&self, count: usize) -> anyhow::Result<Vec<Session>> {
        let mut sessions = Vec::new();
        for number in 0..count {
            let name = format!("load-{}", 1 + number % USERS);
            let form = [
                ("grant_type", "password"),
                ("client_id", REALM),
                ("scope", "openid"),
                ("username", name.as_str()),
                ("password", PASSWORD),
            ];
            let answer = self.grant(TOKEN, &form).await?;
            let token = |name: &str| answer[name].as_str().map(str::to_owned).context("a token");
            sessions.push(Session { access: token("access_token")?, refresh: token("refresh_token")? });
        }
        Ok(sessions)
    }

    /// The requests that correspond to a call of Latchkey.
    pub async fn flow(&self, call: Call) -> anyhow::Result<Arc<dyn Flow>> {
        Ok(match call {
            Call::Login => {
                let form = format!("grant_type=password&client_id={REALM}&scope=openid&password={PASSWORD}");
                Arc::new(Grants::of_passwords(TOKEN, form, USERS))
            }
            Call::Me => Arc::new(Read::new(USERINFO, &self.sessions(32).await?)),
            _ => {
                let form = format!("grant_type=refresh_token&client_id={REALM}");
                let sessions = self.sessions(call.connections() + 8).await?;
                Arc::new(Grants::of_refresh_tokens(TOKEN, form, sessions))
            }
        })
    }
}

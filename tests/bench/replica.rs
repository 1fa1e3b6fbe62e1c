//! The server as a process, with its default settings.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use latchkey_tests::process::{OnParentDeath, Process, free_port};
use latchkey_tests::programs::latchkey_server;
use latchkey_tests::server::Variables;
use reqwest::Client;
use serde_json::Value;

/// The deadline of a start: a server with a million revocations copies them to Redis first.
const START: Duration = Duration::from_mins(2);

/// A running server. Dropping it kills it.
pub struct Replica {
    pub process: Process,
    /// The address of its API.
    pub api: SocketAddr,
    management: SocketAddr,
    client: Client,
    log: PathBuf,
}

impl Replica {
    /// Starts one. It inherits no variables. Its log lines go through a pipe to another process, as with a container
    /// runtime, which only keeps the last ones, in `log`.
    pub fn start(variables: &Variables, log: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("bash");
        command.args(["-c", "exec \"$0\" serve 2> >(exec tail -c 8192 >\"$1\")"]);
        command.arg(latchkey_server()).arg(log);
        Self::run(command, variables, log)
    }

    /// Starts one without the shell, whose start would be measured as well.
    pub fn start_alone(variables: &Variables) -> anyhow::Result<Self> {
        let mut command = Command::new(latchkey_server());
        command.arg("serve");
        Self::run(command, variables, Path::new("/dev/null"))
    }

    fn run(mut command: Command, variables: &Variables, log: &Path) -> anyhow::Result<Self> {
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (api, management) = (address(), address());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name != "PATH") {
            command.env_remove(name);
        }
        command.envs(variables);
        command.env("LISTEN_ADDR", api.to_string()).env("MANAGEMENT_ADDR", management.to_string());
        let process = Process::start(&command, OnParentDeath::Kill);
        let client = Client::builder().timeout(Duration::from_secs(5)).build()?;
        Ok(Self { process, api, management, client, log: log.to_owned() })
    }

    /// Waits until it is ready and reads revocations from Redis.
    pub async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let mode = self.status().await.map(|status| status["revocation"]["mode"].clone());
            if mode.as_ref().is_ok_and(|mode| mode == "redis") && self.is_ready().await {
                return Ok(());
            }
            if !self.process.is_running() {
                anyhow::bail!("the server ended: {}", fs::read_to_string(&self.log).unwrap_or_default());
            }
            ensure!(Instant::now() < deadline, "the server is not ready; its revocations: {mode:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The time from now until `/readyz` succeeds.
    pub async fn time_to_ready(&mut self, begin: Instant) -> anyhow::Result<Duration> {
        while !self.is_ready().await {
            ensure!(begin.elapsed() < START && self.process.is_running(), "the server does not become ready");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        Ok(begin.elapsed())
    }

    async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("http://{}/readyz", self.management)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// `GET /status`.
    pub async fn status(&self) -> anyhow::Result<Value> {
        let answer = self.client.get(format!("http://{}/status", self.management)).send().await?;
        answer.json().await.context("the status of the server")
    }
}

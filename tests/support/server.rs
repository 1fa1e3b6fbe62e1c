//! The auth server as a process: one replica.

use std::collections::BTreeMap;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use crate::answer::{Answer, Answered};
use crate::process::{Memory, OnParentDeath, Process, is_root, run};
use crate::{logs, programs, wait};

/// The deadline of every request, far above the server's own limits.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);

/// The environment variables of a server, which does not inherit those of the test.
pub type Variables = BTreeMap<String, String>;

/// A running replica. Dropping it kills it, and fails the test if its log contains a panic or a secret.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// `http://127.0.0.1:<port>` of the API.
    pub api: String,
    /// `http://127.0.0.1:<port>` of the management port: health, metrics and status.
    pub management: String,
    client: Client,
}

impl Server {
    /// Starts `latchkey-server serve` and waits until it listens; it need not be ready.
    pub async fn start(variables: &Variables) -> Self {
        Self::start_either(variables, false).await
    }

    /// The same for a test that measures response times: the server gets the processor before the programs of other tests,
    /// if the tests run as root.
    pub async fn start_timed(variables: &Variables) -> Self {
        Self::start_either(variables, true).await
    }

    pub(crate) async fn start_either(variables: &Variables, is_timed: bool) -> Self {
        let mut command = Command::new(programs::latchkey_server());
        if is_timed && is_root() {
            command = Command::new("nice");
            command.args(["-n", "-10"]).arg(programs::latchkey_server());
        }
        command.arg("serve");
        set_environment(&mut command, variables);
        let mut process = Process::start(&command, OnParentDeath::Kill);
        let listening = wait::until("the server to listen", || {
            let log = process.stderr.all();
            let found = parsed(&log).find(|line| line["message"] == "listening");
            assert!(found.is_some() || process.is_running(), "the server ended: {log:?}");
            async { found.ok_or(log) }
        })
        .await;
        let address = |name: &str| {
            format!("http://{}", listening[name].as_str().unwrap_or_else(|| panic!("no {name}: {listening}")))
        };
        Self {
            process,
            api: address("api_addr"),
            management: address("management_addr"),
            client: Client::builder().timeout(REQUEST_TIMEOUT).build().expect("an HTTP client"),
        }
    }

    /// Waits until `/readyz` succeeds.
    pub async fn wait_until_ready(&self) {
        wait::until("the server to be ready", || async {
            let answer = self.readiness().await;
            wait::check(answer.status == 200, answer.body)
        })
        .await;
    }

    /// `GET /readyz`.
    pub async fn readiness(&self) -> Answer {
        self.management("/readyz").await
    }

    /// `GET /status`.
    pub async fn status(&self) -> Value {
        self.management("/status").await.json()
    }

    /// `GET /metrics`.
    pub async fn metrics(&self) -> String {
        self.management("/metrics").await.body
    }

    /// The sum of a metric over the series whose labels contain all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let metrics = self.metrics().await;
        let series = metrics.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// A GET request to the management port.
    pub async fn management(&self, path: &str) -> Answer {
        self.client.get(format!("{}{path}", self.management)).answer().await
    }

    /// A GET request to the API.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.api))
    }

    /// A POST request to the API.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.api))
    }

    /// A request with any method.
    ///
    /// # Panics
    /// When the method is not a token.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().expect("a method"), format!("{}{path}", self.api))
    }

    /// `127.0.0.1:<port>` of the API.
    pub fn authority(&self) -> &str {
        self.api.trim_start_matches("http://")
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<String> {
        self.process.stderr.all()
    }

    /// Waits for a log line that contains `text`.
    pub async fn wait_for_log(&self, text: &str) -> String {
        wait::until(&format!("a log line with `{text}`"), || async {
            let mut log = self.log();
            match log.iter().position(|line| line.contains(text)) {
                Some(found) => Ok(log.swap_remove(found)),
                None => Err(log.pop()),
            }
        })
        .await
    }

    /// Waits until `/status` reports that revocations are read from `redis` or `postgres`.
    pub async fn wait_for_revocation_mode(&self, mode: &str) {
        wait::until_equal("the revocation mode", mode, || async {
            self.status().await["revocation"]["mode"].clone()
        })
        .await;
    }

    /// How much memory it takes.
    pub fn memory(&self) -> Memory {
        self.process.memory()
    }

    /// The CPU seconds that it has used.
    pub fn processor_seconds(&self) -> f64 {
        self.process.processor_seconds()
    }

    /// Requests its end (SIGTERM).
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// Interrupts it (SIGINT), like Ctrl-C in a terminal.
    pub fn interrupt(&self) {
        self.process.signal("INT");
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let process = &mut self.process;
        wait::until("the server to end", || {
            let running = process.is_running();
            async move { wait::check(!running, "it is running") }
        })
        .await;
        self.process.wait()
    }

    /// Stops it gracefully (SIGTERM).
    ///
    /// # Panics
    /// When its exit status is not 0.
    pub async fn stop(&mut self) {
        self.terminate();
        let status = self.ended().await;
        assert!(status.success(), "{status}: {:?}", self.log().last());
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill();
        if std::thread::panicking() {
            eprintln_log(&self.log());
            return;
        }
        for line in self.log() {
            assert!(!line.contains("panicked"), "the server panicked: {line}");
            assert_eq!(logs::leak(&line), None, "the log contains a secret: {line}");
        }
    }
}

/// Prints the end of the server's log for a failed test.
#[expect(clippy::print_stderr, reason = "libtest only shows it for a failed test")]
fn eprintln_log(log: &[String]) {
    for line in &log[log.len().saturating_sub(20)..] {
        eprintln!("server: {line}");
    }
}

/// The log lines that are JSON objects.
pub fn parsed(log: &[String]) -> impl Iterator<Item = Value> {
    log.iter().filter_map(|line| serde_json::from_str(line).ok())
}

/// Runs a command of the server to its end, with only these variables.
pub fn run_command(arguments: &[&str], variables: &Variables) -> Output {
    // `timeout` kills a command that does not end by itself, with another exit status.
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30"]).arg(programs::latchkey_server()).args(arguments);
    set_environment(&mut command, variables);
    run(&mut command)
}

/// Shifts the clock of a server by `offset`, such as `-2h`. Its timers are not affected.
pub fn shift_clock(variables: &mut Variables, offset: &str) {
    let library = programs::faketime_library();
    for (name, value) in [
        ("LD_PRELOAD", library.to_str().expect("a path in UTF-8")),
        ("FAKETIME", offset),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
}

fn set_environment(command: &mut Command, variables: &Variables) {
    command.env_clear().envs(variables);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
}

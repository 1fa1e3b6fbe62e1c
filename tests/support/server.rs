//! The auth server: the real binary, as one replica.

use std::collections::BTreeMap;
use std::process::{Command, ExitStatus, Output};

use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use crate::answer::{Answer, Answered};
use crate::process::{OnParentDeath, Process, run};
use crate::{logs, programs, wait};

/// The environment of a server. Nothing of the test's own environment reaches it.
pub type Variables = BTreeMap<String, String>;

/// A running replica. Dropping it kills it, and fails the test when its log holds a panic or a secret.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// `http://127.0.0.1:<port>` of the API.
    pub api: String,
    /// `http://127.0.0.1:<port>` of health, metrics and status.
    pub management: String,
    client: Client,
}

impl Server {
    /// Starts `latchkey-server serve` and waits until it listens, whether or not it is ready.
    pub async fn start(variables: &Variables) -> Self {
        let mut command = Command::new(programs::latchkey_server());
        command.arg("serve");
        set_environment(&mut command, variables);
        let mut process = Process::start(&command, OnParentDeath::Kill);
        let listening = wait::until("the server to listen", || {
            let found = parsed(&process.stderr.all()).find(|line| line["message"] == "listening");
            assert!(found.is_some() || process.is_running(), "it ended: {:?}", process.stderr.all());
            async { found }
        })
        .await;
        let address = |name: &str| {
            format!("http://{}", listening[name].as_str().unwrap_or_else(|| panic!("no {name}: {listening}")))
        };
        Self {
            process,
            api: address("api_addr"),
            management: address("management_addr"),
            client: Client::new(),
        }
    }

    /// Waits until it says that it is ready.
    pub async fn wait_until_ready(&self) {
        wait::until_ok("the server to be ready", || async {
            let answer = self.readiness().await;
            if answer.status == 200 { Ok(()) } else { Err(answer.body) }
        })
        .await;
    }

    /// `/readyz`.
    pub async fn readiness(&self) -> Answer {
        self.management("/readyz").await
    }

    /// `/status`.
    pub async fn status(&self) -> Value {
        self.management("/status").await.json()
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> String {
        self.management("/metrics").await.body
    }

    /// The value of a metric, summed over its series whose text contains every part of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let metrics = self.metrics().await;
        let series = metrics.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// A GET of the management port.
    pub async fn management(&self, path: &str) -> Answer {
        self.client.get(format!("{}{path}", self.management)).answer().await
    }

    /// A GET of the API.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.api))
    }

    /// A POST to the API.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.api))
    }

    /// A request with any method.
    ///
    /// # Panics
    /// When the method is none.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().expect("a method"), format!("{}{path}", self.api))
    }

    /// `127.0.0.1:<port>` of the API.
    pub fn authority(&self) -> &str {
        self.api.trim_start_matches("http://")
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.process.stderr.all()
    }

    /// Waits until it has logged a line that contains `text`.
    pub async fn wait_for_log(&self, text: &str) -> String {
        wait::until(&format!("a log line with `{text}`"), || async {
            self.log().into_iter().find(|line| line.contains(text))
        })
        .await
    }

    /// How many seconds of the processors it has used.
    pub fn processor_seconds(&self) -> f64 {
        self.process.processor_seconds()
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// Interrupts it (SIGINT), as Ctrl-C in a terminal does.
    pub fn interrupt(&self) {
        self.process.signal("INT");
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let process = &mut self.process;
        wait::until("the server to end", || {
            let running = process.is_running();
            async move { (!running).then_some(()) }
        })
        .await;
        self.process.wait()
    }

    /// Stops it in an orderly way and asserts that it ended well.
    ///
    /// # Panics
    /// When its exit code is not 0.
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
            assert_eq!(logs::leak(&line), None, "the log gives a secret away: {line}");
        }
    }
}

/// A failed test shows the end of the server's log.
#[expect(clippy::print_stderr, reason = "libtest shows it beside the failed test, and only there")]
fn eprintln_log(log: &[String]) {
    for line in &log[log.len().saturating_sub(20)..] {
        eprintln!("server: {line}");
    }
}

/// The log lines that are JSON objects.
pub fn parsed(log: &[String]) -> impl Iterator<Item = Value> {
    log.iter().filter_map(|line| serde_json::from_str(line).ok())
}

/// Runs a command of the server to its end, with these variables and no others.
pub fn run_command(arguments: &[&str], variables: &Variables) -> Output {
    // `timeout` ends, with a status of its own, what was expected to end by itself.
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30"]).arg(programs::latchkey_server()).args(arguments);
    set_environment(&mut command, variables);
    run(&mut command)
}

/// Sets the clock of a server to `offset`, such as `-2h`, from the machine's. Its timers go on as they are.
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

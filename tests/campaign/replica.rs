//! A replica of the server, as Kubernetes runs one: it is started again when it has ended, and gets requests while it is
//! ready.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use latchkey_tests::process::{OnParentDeath, Process, free_port};
use latchkey_tests::server::Variables;
use latchkey_tests::{logs, programs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::proxy::Proxy;

/// How often readiness and memory are read.
const POLL: Duration = Duration::from_millis(250);

/// A replica and the tasks that watch it.
#[derive(Debug)]
pub struct Replica {
    shared: Arc<Shared>,
    /// Between the clients and the API.
    pub proxy: Proxy,
    http: reqwest::Client,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    variables: Variables,
    management: String,
    process: Mutex<Option<Process>>,
    /// Whether a process that has ended is started again.
    is_wanted: AtomicBool,
    is_ready: AtomicBool,
    /// Not chosen for new requests: it is about to be stopped.
    is_draining: AtomicBool,
    peak_memory: AtomicU64,
    logs: std::sync::Mutex<Logs>,
}

/// The log lines of a replica that matter afterwards.
#[derive(Debug, Default, Clone)]
pub struct Logs {
    /// Those with a panic or a secret.
    pub bad: Vec<String>,
    /// Warnings and errors, for a report.
    pub warnings: Vec<String>,
}

impl Replica {
    /// Starts it; it need not be ready.
    pub async fn start(mut variables: Variables) -> Self {
        let (api, management) = (free_port(), free_port());
        variables.insert("LISTEN_ADDR".to_owned(), format!("127.0.0.1:{api}"));
        variables.insert("MANAGEMENT_ADDR".to_owned(), format!("127.0.0.1:{management}"));
        let shared = Arc::new(Shared {
            variables,
            management: format!("http://127.0.0.1:{management}"),
            process: Mutex::default(),
            is_wanted: AtomicBool::new(true),
            is_ready: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            peak_memory: AtomicU64::new(0),
            logs: std::sync::Mutex::default(),
        });
        shared.ensure_running().await;
        let http =
            reqwest::Client::builder().timeout(Duration::from_secs(2)).build().expect("an HTTP client");
        let tasks = vec![tokio::spawn(watch(Arc::clone(&shared), http.clone()))];
        Self { shared, proxy: Proxy::to(api), http, tasks }
    }

    /// Whether a client may choose it.
    pub fn takes_requests(&self) -> bool {
        self.is_ready() && !self.shared.is_draining.load(Ordering::Relaxed)
    }

    pub fn is_ready(&self) -> bool {
        self.shared.is_ready.load(Ordering::Relaxed)
    }

    /// The serial of the registry of OAuth clients that it reports; `None` if it does not respond or has loaded none.
    pub async fn loaded_serial(&self) -> Option<u64> {
        let answer = self.http.get(format!("{}/status", self.shared.management)).send().await.ok()?;
        answer.json::<serde_json::Value>().await.ok()?["clients"]["serial"].as_u64()
    }

    /// Kills it, and starts it again after a while.
    pub async fn kill(&self, pause: Duration) {
        self.shared.is_wanted.store(false, Ordering::Relaxed);
        self.shared.end(Process::kill).await;
        tokio::time::sleep(pause).await;
        self.shared.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Stops it gracefully and starts it again at once.
    pub async fn roll(&self) {
        // Kubernetes removes the pod from the endpoints and sends SIGTERM at the same time; clients follow a moment later.
        self.shared.is_wanted.store(false, Ordering::Relaxed);
        self.shared.is_draining.store(true, Ordering::Relaxed);
        if let Some(process) = &*self.shared.process.lock().await {
            process.terminate();
        }
        let ended = async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let mut process = self.shared.process.lock().await;
                if process.as_mut().is_none_or(|process| !process.is_running()) {
                    return;
                }
            }
        };
        // A server that does not end is killed, as the kubelet does.
        let _ = tokio::time::timeout(Duration::from_secs(30), ended).await;
        self.shared.end(Process::kill).await;
        self.shared.is_draining.store(false, Ordering::Relaxed);
        self.shared.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Suspends the process for a while, as an overcommitted node does.
    pub async fn freeze(&self, pause: Duration) {
        let id = self.shared.process.lock().await.as_ref().map(Process::id);
        let Some(pid) = id.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw) else { return };
        // It may have ended meanwhile.
        let _ = kill(pid, Signal::SIGSTOP);
        tokio::time::sleep(pause).await;
        let _ = kill(pid, Signal::SIGCONT);
    }

    /// The most memory that any of its processes used.
    pub fn peak_memory(&self) -> u64 {
        self.shared.peak_memory.load(Ordering::Relaxed)
    }

    /// Stops it.
    pub async fn finish(&self) -> Logs {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.end(Process::kill).await;
        self.shared.logs().clone()
    }
}

impl Shared {
    async fn ensure_running(&self) {
        let mut process = self.process.lock().await;
        if process.as_mut().is_some_and(Process::is_running) || !self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        if let Some(ended) = process.take() {
            self.keep_lines(&ended);
        }
        let mut command = Command::new(programs::latchkey_server());
        command.arg("serve").env_clear().envs(&self.variables);
        *process = Some(Process::start(&command, OnParentDeath::Kill));
    }

    async fn end(&self, how: impl FnOnce(&mut Process)) {
        if let Some(mut process) = self.process.lock().await.take() {
            how(&mut process);
            self.keep_lines(&process);
        }
        self.is_ready.store(false, Ordering::Relaxed);
    }

    fn logs(&self) -> std::sync::MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn keep_lines(&self, process: &Process) {
        let mut logs = self.logs();
        for line in process.stderr.all() {
            if line.contains("panicked") || logs::leak(&line).is_some() {
                logs.bad.push(line);
            } else if line.contains("\"WARN\"") || line.contains("\"ERROR\"") {
                logs.warnings.push(line);
            }
        }
    }
}

async fn watch(shared: Arc<Shared>, client: reqwest::Client) {
    let url = format!("{}/readyz", shared.management);
    loop {
        tokio::time::sleep(POLL).await;
        shared.ensure_running().await;
        let answer = client.get(&url).send().await;
        let is_ready = answer.is_ok_and(|answer| answer.status().is_success());
        if let Some(process) = &mut *shared.process.lock().await {
            shared.peak_memory.fetch_max(peak_memory(process.id()), Ordering::Relaxed);
            shared.is_ready.store(is_ready, Ordering::Relaxed);
        }
    }
}

/// In bytes; 0 for a process that has ended.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

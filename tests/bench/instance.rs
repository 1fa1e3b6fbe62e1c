//! PostgreSQL with durable storage and its default settings, unlike the instances of the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use latchkey_tests::logs;
use latchkey_tests::process::{OnParentDeath, Process, as_user, free_port, is_root, run_ok};
use latchkey_tests::programs::postgres_bin;
use latchkey_tests::wait;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

const USER: &str = "postgres";

/// A running instance. Dropping it stops it.
pub struct Instance {
    process: Process,
    port: u16,
    password: String,
    folder: PathBuf,
}

impl Instance {
    /// Creates an empty one in a folder.
    pub fn create(folder: &Path) -> anyhow::Result<()> {
        fs::write(folder.join("password"), logs::secret("postgres"))?;
        if is_root() {
            run_ok(Command::new("chown").arg("-R").arg(USER).arg(folder));
        }
        let mut initdb = Command::new(postgres_bin().join("initdb"));
        initdb.arg("--pgdata").arg(folder.join("data")).arg("--pwfile").arg(folder.join("password"));
        initdb.args(["--no-sync", "--username=latchkey", "--auth=scram-sha-256", "--encoding=UTF8"]);
        initdb.args(["--locale=C.UTF-8", "--no-instructions"]);
        run_ok(&mut as_user(USER, initdb.current_dir(folder)));
        Ok(())
    }

    /// Starts the one in a folder, with some settings that differ from the defaults.
    pub fn start(folder: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        Self::start_at(free_port(), folder, settings)
    }

    fn start_at(port: u16, folder: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        if is_root() {
            run_ok(Command::new("chown").arg(USER).arg(folder));
        }
        let password = fs::read_to_string(folder.join("password"))?;
        let mut command = Command::new(postgres_bin().join("postgres"));
        command.arg("-D").arg(folder.join("data")).arg("-p").arg(port.to_string()).current_dir(folder);
        command.args(["-c", "listen_addresses=127.0.0.1"]);
        command.arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
        for setting in settings {
            command.args(["-c", setting]);
        }
        let mut process = Process::start_as(USER, &command, OnParentDeath::Quit);
        wait::until_blocking("PostgreSQL to accept connections", || {
            let log = process.stderr.all();
            assert!(process.is_running(), "PostgreSQL ended: {log:?}");
            wait::check(log.iter().any(|line| line.contains("ready to accept connections")), log)
        });
        Ok(Self { process, port, password, folder: folder.to_owned() })
    }

    /// Stops it and starts it on the same port with other settings.
    pub fn restart(self, settings: &[&str]) -> anyhow::Result<Self> {
        let (port, folder) = (self.port, self.folder.clone());
        drop(self);
        Self::start_at(port, &folder, settings)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of its user.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The URL of the database, at this port.
    pub fn url(&self, port: u16) -> String {
        format!("postgres://latchkey:{}@127.0.0.1:{port}/postgres", self.password)
    }

    /// Connects to the database.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("latchkey")
            .password(&self.password)
            .database("postgres");
        PgConnection::connect_with(&options).await.context("a connection to PostgreSQL")
    }

    /// The CPU seconds of all its processes, also of those that have ended.
    pub fn processor_seconds(&self) -> f64 {
        let own = self.process.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        std::iter::once(own).chain(pids).map(ticks).sum::<u64>() as f64 / 100.0
    }
}

/// The CPU time of a process and its ended children, in hundredths of a second (`proc_pid_stat(5)`).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.process.is_running() {
            self.process.signal("INT");
            self.process.wait();
        }
    }
}

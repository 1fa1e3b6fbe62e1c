//! Backends that are silent: their clients see open connections that answer nothing, as after the loss of a node.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Database;
use super::database::TESTS;

/// Stopped backend processes. They continue when it is dropped.
#[derive(Debug)]
pub struct StoppedBackends(Vec<Pid>);

impl Database {
    /// Stops every backend of this database except those of the tests.
    ///
    /// # Panics
    /// When there is none.
    pub async fn stop_backends(&self) -> StoppedBackends {
        let sql = "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity
                   WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> $1";
        let pids = self.text(sql, TESTS).await;
        let pids: Vec<_> =
            pids.split_whitespace().map(|pid| Pid::from_raw(pid.parse().expect("a process id"))).collect();
        assert!(!pids.is_empty(), "the servers have no connection");
        for pid in &pids {
            kill(*pid, Signal::SIGSTOP).expect("a running backend");
        }
        StoppedBackends(pids)
    }
}

impl Drop for StoppedBackends {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that has ended meanwhile needs no signal.
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

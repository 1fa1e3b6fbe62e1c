//! PgBouncer: a connection pooler in front of a PostgreSQL instance.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::postgres::{Database, USER};
use crate::process::{OnParentDeath, Process, free_port, is_root, run_ok, temporary_folder};
use crate::{programs, wait};

/// A pooler that listens on 127.0.0.1. Only what is named in [`PgBouncer::start`] differs from its default settings.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one for the instance of this database. `settings`: lines of its section `[pgbouncer]`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(database: &Database, settings: &str) -> Self {
        let folder = temporary_folder("pgbouncer-");
        let path = folder.path();
        let port = free_port();
        let users = path.join("users.txt");
        fs::write(&users, format!("\"latchkey\" \"{}\"\n", database.password()))
            .expect("the users of PgBouncer");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\n{settings}\n",
            database.port(),
            users.display()
        );
        let file = path.join("pgbouncer.ini");
        fs::write(&file, text).expect("the configuration of PgBouncer");
        if is_root() {
            run_ok(Command::new("chown").args(["-R", USER]).arg(path));
        }
        let mut command = Command::new(programs::debian("pgbouncer"));
        command.arg(file).current_dir(path);
        let mut process = Process::start_as(USER, &command, OnParentDeath::Kill);
        wait::until_blocking("PgBouncer to listen", || {
            assert!(process.is_running(), "PgBouncer ended: {:?}", process.stderr.all());
            std::net::TcpStream::connect(("127.0.0.1", port))
        });
        Self { process, port, _folder: folder }
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<String> {
        self.process.stderr.all()
    }
}

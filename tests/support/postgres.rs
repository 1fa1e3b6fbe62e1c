//! PostgreSQL: one instance per test executable, and one database per test.

mod database;
mod replication;
mod settings;
mod verifier;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};

pub use database::Database;
use sqlx::{Connection, QueryBuilder};
use tempfile::TempDir;
use uuid::Uuid;

use crate::authority::Certificate;
use crate::process::{OnParentDeath, Process, as_user, free_port, is_root, run_ok, temporary_folder};
use crate::{logs, programs, wait};

/// A database with the current schema, of which the database of each test is a copy.
const TEMPLATE: &str = "latchkey_template";

/// The user that the package of PostgreSQL creates.
pub(crate) const USER: &str = "postgres";

/// An instance that listens on 127.0.0.1.
#[derive(Debug)]
pub struct Postgres {
    process: Option<Process>,
    port: u16,
    password: String,
    folder: TempDir,
    template: OnceLock<()>,
    is_shared: bool,
    certificate: Option<Certificate>,
    /// More settings.
    settings: Vec<String>,
    /// The folder of its programs.
    bin: PathBuf,
}

/// How an instance differs from the others.
#[derive(Default)]
struct Launch<'a> {
    is_shared: bool,
    certificate: Option<&'a Certificate>,
    authority: Option<&'a Path>,
    programs: Option<&'a Path>,
}

impl Postgres {
    /// The instance that all tests of this executable share; it cannot be stopped.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Postgres> =
            LazyLock::new(|| Postgres::launch(&Launch { is_shared: true, ..Launch::default() }));
        &SHARED
    }

    /// Starts a separate instance, which the test may stop.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        Self::launch(&Launch::default())
    }

    /// The same with TLS for clients that request it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with_tls(certificate: &Certificate) -> Self {
        Self::launch(&Launch { certificate: Some(certificate), ..Launch::default() })
    }

    /// The same, and the user `certified` must present a client certificate of the authority in the file `authority`.
    pub fn start_with_client_certificates(certificate: &Certificate, authority: &Path) -> Self {
        let (certificate, authority) = (Some(certificate), Some(authority));
        Self::launch(&Launch { certificate, authority, ..Launch::default() })
    }

    /// Starts a separate instance with the programs below `programs/bin`.
    pub fn start_from(programs: &Path) -> Self {
        Self::launch(&Launch { programs: Some(programs), ..Launch::default() })
    }

    fn launch(launch: &Launch<'_>) -> Self {
        let temporary = temporary_folder("postgres-");
        let folder = temporary.path().to_owned();
        let password = logs::secret("postgres");
        fs::write(folder.join("password"), verifier::scram_verifier(&password)).expect("the password file");
        let data = folder.join("data");
        let certificate = launch.certificate.map(|certificate| certificate.copied_into(&folder));
        let bin = match launch.programs {
            // Copied, because another user runs them, who may not enter the folder of the cache.
            Some(programs) => {
                run_ok(Command::new("cp").arg("-r").arg(programs).arg(folder.join("programs")));
                folder.join("programs/bin")
            }
            None => programs::postgres_bin().to_owned(),
        };
        let mut settings = Vec::new();
        if let Some(authority) = launch.authority {
            let (hba, copy) = (folder.join("pg_hba.conf"), folder.join("ca.crt"));
            fs::copy(authority, &copy).expect("the certificate of the authority is copied");
            let rules = "hostssl all certified all scram-sha-256 clientcert=verify-ca\nhost all all all scram-sha-256\n";
            fs::write(&hba, rules).expect("the rules for clients");
            settings.push(format!("hba_file={}", hba.display()));
            settings.push(format!("ssl_ca_file={}", copy.display()));
        }
        if is_root() {
            run_ok(Command::new("chown").args(["-R", USER]).arg(&folder));
        }
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(folder.join("password"));
        initdb.args(["--no-sync", "--username=latchkey", "--auth=scram-sha-256", "--encoding=UTF8"]);
        initdb.args(["--locale=C.UTF-8", "--no-instructions"]);
        run_ok(&mut as_user(USER, initdb.current_dir(&folder)));
        let mut postgres = Self {
            process: None,
            port: free_port(),
            password,
            folder: temporary,
            template: OnceLock::new(),
            is_shared: launch.is_shared,
            certificate,
            settings,
            bin,
        };
        postgres.start_again();
        postgres
    }

    /// Starts it on the same port with the same data, and waits until it accepts connections.
    pub fn start_again(&mut self) {
        let mut command = Command::new(self.bin.join("postgres"));
        command.arg("-D").arg(self.folder.path().join("data")).arg("-p").arg(self.port.to_string());
        command.current_dir(self.folder.path());
        for setting in [
            "listen_addresses=127.0.0.1,::1",
            "max_connections=600",
            "shared_buffers=64MB",
            "max_wal_size=64MB",
            "min_wal_size=32MB",
            // The data of a test need not survive a power failure.
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "autovacuum=off",
        ] {
            command.args(["-c", setting]);
        }
        command.arg("-c").arg(format!("unix_socket_directories={}", self.folder.path().display()));
        // The last value of a setting counts.
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        if let Some(Certificate { certificate, key }) = &self.certificate {
            command.args(["-c", "ssl=on", "-c"]).arg(format!("ssl_cert_file={}", certificate.display()));
            command.arg("-c").arg(format!("ssl_key_file={}", key.display()));
        }
        let mut process = Process::start_as(USER, &command, OnParentDeath::Quit);
        wait::until_blocking("PostgreSQL to accept connections", || {
            let log = process.stderr.all();
            assert!(process.is_running(), "PostgreSQL ended: {log:?}");
            let ready = ["ready to accept connections", "ready to accept read-only connections"];
            wait::check(log.iter().any(|line| ready.iter().any(|ready| line.contains(ready))), log)
        });
        self.process = Some(process);
    }

    /// The folder of its Unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it and closes every connection ("fast" shutdown).
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("INT");
            process.wait();
        }
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<String> {
        self.process.as_ref().map(|process| process.stderr.all()).unwrap_or_default()
    }

    /// Creates a database with the current schema.
    pub async fn create_database(&self) -> Database {
        self.template.get_or_init(|| self.migrate_template());
        // Copying the files takes half the CPU time of writing each page to the log, and brings the cache of the catalog along.
        // PostgreSQL 14, which some tests start for themselves, knows no other way and not this word.
        let strategy = if self.is_shared { "STRATEGY FILE_COPY" } else { "" };
        self.create_from(&format!("TEMPLATE {TEMPLATE} {strategy}")).await
    }

    /// Creates an empty database.
    pub async fn create_empty_database(&self) -> Database {
        self.create_from("TEMPLATE template0").await
    }

    /// Creates an empty database whose locale only knows the case of ASCII letters.
    pub async fn create_empty_database_in_c_locale(&self) -> Database {
        self.create_from("TEMPLATE template0 LOCALE 'C'").await
    }

    async fn create_from(&self, options: &str) -> Database {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let database = Database::new(self.port, &self.password, &name, self.is_shared);
        let mut admin = self.connect_as_administrator().await;
        QueryBuilder::new("CREATE DATABASE ")
            .push(&database.name)
            .push(" ")
            .push(options)
            .build()
            .persistent(false)
            .execute(&mut admin)
            .await
            .expect("a new database");
        admin.close().await.expect("a closed connection");
        database
    }

    fn database(&self, name: &str) -> Database {
        Database::new(self.port, &self.password, name, false)
    }

    fn migrate_template(&self) {
        // An earlier attempt may have failed after it created the database: this one must fail for the same reason.
        for (program, option) in [("dropdb", "--if-exists"), ("createdb", "--no-password")] {
            run_ok(client(program, self.port, &self.password).args([option, TEMPLATE]));
        }
        self.database(TEMPLATE).migrate();
    }
}

/// A client program of PostgreSQL, with the options to connect.
fn client(program: &str, port: u16, password: &str) -> Command {
    let mut command = Command::new(programs::postgres_bin().join(program));
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "latchkey"]);
    command.env("PGPASSWORD", password);
    command
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

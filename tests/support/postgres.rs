//! PostgreSQL: one instance for a test executable, a fresh database for each test.

use std::fs;
use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, QueryBuilder};
use tempfile::TempDir;
use uuid::Uuid;

use crate::authority::Certificate;
use crate::process::{OnParentDeath, Process, as_user, free_port, is_root, run_ok, temporary_folder};
use crate::{logs, programs, wait};

/// A database that `latchkey-server migrate` has been run on; each test's database is a copy of it.
const TEMPLATE: &str = "latchkey_template";

/// The user that the package of PostgreSQL makes.
const USER: &str = "postgres";

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
}

/// A database of one test. In the shared instance it goes when it is dropped.
#[derive(Debug)]
pub struct Database {
    port: u16,
    password: String,
    /// Its name.
    pub name: String,
    goes_with_this: bool,
}

impl Postgres {
    /// The instance that all tests of this executable share; it cannot be stopped.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Postgres> = LazyLock::new(|| Postgres::begin(true, None));
        &SHARED
    }

    /// An instance of one's own, which a test may stop.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        Self::begin(false, None)
    }

    /// The same, with TLS for those who ask for it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with_tls(certificate: &Certificate) -> Self {
        Self::begin(false, Some(certificate))
    }

    fn begin(is_shared: bool, certificate: Option<&Certificate>) -> Self {
        let temporary = temporary_folder("postgres-");
        let folder = temporary.path().to_owned();
        let password = logs::secret("postgres");
        fs::write(folder.join("password"), &password).expect("the password file");
        let data = folder.join("data");
        let certificate = certificate.map(|certificate| certificate.copied_into(&folder));
        if is_root() {
            run_ok(Command::new("chown").args(["-R", USER]).arg(&folder));
        }
        let mut initdb = Command::new(programs::postgres_bin().join("initdb"));
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
            is_shared,
            certificate,
        };
        postgres.start_again();
        postgres
    }

    /// Starts it, on the same port and data, and waits until it answers.
    pub fn start_again(&mut self) {
        let mut command = Command::new(programs::postgres_bin().join("postgres"));
        command.arg("-D").arg(self.folder.path().join("data")).arg("-p").arg(self.port.to_string());
        command.current_dir(self.folder.path());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=600",
            "shared_buffers=64MB",
            "max_wal_size=64MB",
            "min_wal_size=32MB",
            // A test's data does not have to survive the machine.
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "autovacuum=off",
        ] {
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
            log.iter().any(|line| ready.iter().any(|ready| line.contains(ready))).then_some(())
        });
        self.process = Some(process);
    }

    /// A hot standby of this one, which streams from it until it is promoted.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_standby(&self) -> Self {
        let temporary = temporary_folder("standby-");
        let folder = temporary.path().to_owned();
        if is_root() {
            run_ok(Command::new("chown").arg(USER).arg(&folder));
        }
        let mut copy = Command::new(programs::postgres_bin().join("pg_basebackup"));
        copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "latchkey", "-D"]);
        copy.arg(folder.join("data"));
        // It writes `standby.signal`, and where to stream from.
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"]);
        copy.env("PGPASSWORD", &self.password);
        run_ok(&mut as_user(USER, copy.current_dir(&folder)));
        let mut standby = Self {
            process: None,
            port: free_port(),
            password: self.password.clone(),
            folder: temporary,
            template: OnceLock::new(),
            is_shared: false,
            certificate: None,
        };
        standby.start_again();
        standby
    }

    /// Makes a standby a primary, and waits until it is one.
    ///
    /// # Panics
    /// When it is none within half a minute.
    pub fn promote(&self) {
        let mut promote = Command::new(programs::postgres_bin().join("pg_ctl"));
        promote.args(["promote", "--wait", "--timeout=30", "--silent", "-D"]);
        promote.arg(self.folder.path().join("data")).current_dir(self.folder.path());
        run_ok(&mut as_user(USER, &promote));
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it, cutting every connection ("fast" shutdown).
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("INT");
            process.wait();
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.process.as_ref().map(|process| process.stderr.all()).unwrap_or_default()
    }

    /// A new database with Latchkey's current schema.
    pub async fn create_database(&self) -> Database {
        self.template.get_or_init(|| self.migrate_template());
        self.create_from(&format!("TEMPLATE {TEMPLATE}")).await
    }

    /// A new database with nothing in it.
    pub async fn create_empty_database(&self) -> Database {
        self.create_from("TEMPLATE template0").await
    }

    /// A new database with nothing in it whose locale knows the case of ASCII letters only.
    pub async fn create_empty_database_in_c_locale(&self) -> Database {
        self.create_from("TEMPLATE template0 LOCALE 'C'").await
    }

    async fn create_from(&self, options: &str) -> Database {
        let mut database = self.database(&format!("test_{}", Uuid::new_v4().simple()));
        database.goes_with_this = self.is_shared;
        let mut admin = self.database("postgres").connect().await;
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
        let (port, password) = (self.port, self.password.clone());
        Database { port, password, name: name.to_owned(), goes_with_this: false }
    }

    fn migrate_template(&self) {
        // An earlier try may have failed half-way: the next test is to say why, not that there is one already.
        for (program, option) in [("dropdb", "--if-exists"), ("createdb", "--no-password")] {
            run_ok(
                Command::new(programs::postgres_bin().join(program))
                    .args([
                        option,
                        "-h",
                        "127.0.0.1",
                        "-p",
                        &self.port.to_string(),
                        "-U",
                        "latchkey",
                        TEMPLATE,
                    ])
                    .env("PGPASSWORD", &self.password),
            );
        }
        self.database(TEMPLATE).migrate();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // One psql for all of them, which nobody waits for: the next test need not pay for this one.
        static PSQL: Mutex<Option<ChildStdin>> = Mutex::new(None);
        if !self.goes_with_this {
            return;
        }
        let mut psql = PSQL.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = psql.get_or_insert_with(|| self.start_psql());
        // What is left over goes with the instance.
        let _ = writeln!(commands, "DROP DATABASE IF EXISTS {} WITH (FORCE);", self.name);
    }
}

impl Database {
    #[expect(clippy::zombie_processes, reason = "it serves until this process ends, and ends with its input")]
    fn start_psql(&self) -> ChildStdin {
        let mut psql = Command::new(programs::postgres_bin().join("psql"));
        psql.args([
            "-X",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "latchkey",
            "postgres",
        ]);
        psql.env("PGPASSWORD", &self.password);
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut psql = psql.spawn().expect("psql");
        psql.stdin.take().expect("its standard input is a pipe")
    }

    /// The same database by another way to its instance, or to a copy of the instance.
    #[must_use]
    pub fn by_port(&self, port: u16) -> Self {
        Self { port, password: self.password.clone(), name: self.name.clone(), goes_with_this: false }
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        format!("postgres://latchkey:{}@127.0.0.1:{}/{}", self.password, self.port, self.name)
    }

    /// Runs `latchkey-server migrate` on it.
    pub fn migrate(&self) {
        run_ok(Command::new(programs::latchkey_server()).arg("migrate").env("DATABASE_URL", self.url()));
    }

    /// A connection, for what a test cannot reach through the API.
    ///
    /// # Panics
    /// When PostgreSQL does not answer.
    pub async fn connect(&self) -> PgConnection {
        let options = PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("latchkey")
            .password(&self.password)
            .database(&self.name);
        PgConnection::connect_with(&options).await.expect("a connection to PostgreSQL")
    }

    /// Runs one statement and returns how many rows it changed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn execute(&self, sql: &'static str) -> u64 {
        let mut connection = self.connect().await;
        sqlx::query(sql).execute(&mut connection).await.expect(sql).rows_affected()
    }

    /// Runs one statement about one key (`$1`) and returns how many rows it changed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn execute_for(&self, sql: &'static str, key: &str) -> u64 {
        let mut connection = self.connect().await;
        sqlx::query(sql).bind(key).execute(&mut connection).await.expect(sql).rows_affected()
    }

    /// The single number that a statement about one key (`$1`) returns.
    ///
    /// # Panics
    /// When it fails.
    pub async fn count(&self, sql: &'static str, key: &str) -> i64 {
        let mut connection = self.connect().await;
        sqlx::query_scalar(sql).bind(key).fetch_one(&mut connection).await.expect(sql)
    }

    /// The single text that a statement about one key (`$1`) returns.
    ///
    /// # Panics
    /// When it fails.
    pub async fn text(&self, sql: &'static str, key: &str) -> String {
        let mut connection = self.connect().await;
        sqlx::query_scalar(sql).bind(key).fetch_one(&mut connection).await.expect(sql)
    }
}

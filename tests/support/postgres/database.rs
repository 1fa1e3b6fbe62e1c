//! The database of one test, and statements that a test runs in it.

use std::fmt;
use std::io::Write as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::client;
use crate::process::run_ok;
use crate::{programs, wait};

/// The application name of the connections of the tests.
const TESTS: &str = "latchkey-tests";

/// The deadline of each statement of a test.
const STATEMENT_TIMEOUT: &str = "60s";

/// The database of one test. Dropping it removes it from the shared instance.
#[derive(Debug)]
pub struct Database {
    port: u16,
    password: String,
    /// Its name.
    pub name: String,
    removed_on_drop: bool,
    idle: Idle,
}

/// The connection of the last statement: starting a session costs PostgreSQL more than most statements.
#[derive(Default)]
struct Idle(Mutex<Option<PgConnection>>);

impl fmt::Debug for Idle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Idle")
    }
}

impl Idle {
    /// It is gone until the statement has succeeded, so that nothing uses it in the middle of another response.
    fn take(&self) -> Option<PgConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put_back(&self, connection: PgConnection) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // One psql for all databases, for which no test waits.
        static PSQL: Mutex<Option<ChildStdin>> = Mutex::new(None);
        if !self.removed_on_drop {
            return;
        }
        let mut psql = PSQL.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = psql.get_or_insert_with(|| self.start_psql());
        // A database that remains is removed with the instance.
        let _ = writeln!(commands, "DROP DATABASE IF EXISTS {} WITH (FORCE);", self.name);
    }
}

impl Database {
    pub(super) fn new(port: u16, password: &str, name: &str, removed_on_drop: bool) -> Self {
        let (password, name) = (password.to_owned(), name.to_owned());
        Self { port, password, name, removed_on_drop, idle: Idle::default() }
    }

    #[expect(clippy::zombie_processes, reason = "it runs until this process ends, and ends with its input")]
    fn start_psql(&self) -> ChildStdin {
        let mut psql = client("psql", self.port, &self.password);
        psql.args(["-X", "-q", "postgres"]);
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut psql = psql.spawn().expect("psql");
        psql.stdin.take().expect("a pipe to its standard input")
    }

    /// The same database at another port: of a proxy, or of a copy of the instance.
    #[must_use]
    pub fn by_port(&self, port: u16) -> Self {
        Self::new(port, &self.password, &self.name, false)
    }

    /// The port of its instance.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the user `latchkey`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The URL of the database, with the password.
    pub fn url(&self) -> String {
        format!("postgres://latchkey:{}@127.0.0.1:{}/{}", self.password, self.port, self.name)
    }

    /// Runs `latchkey-server migrate`.
    pub fn migrate(&self) {
        run_ok(Command::new(programs::latchkey_server()).arg("migrate").env("DATABASE_URL", self.url()));
    }

    /// Connects, for state that the API does not expose.
    ///
    /// # Panics
    /// When PostgreSQL does not respond in time.
    pub async fn connect(&self) -> PgConnection {
        let options = PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("latchkey")
            .password(&self.password)
            .database(&self.name)
            .application_name(TESTS)
            // A statement that waits for a lock for ever fails its test instead.
            .options([("statement_timeout", STATEMENT_TIMEOUT)]);
        let connection = tokio::time::timeout(wait::PATIENCE, PgConnection::connect_with(&options)).await;
        connection.expect("PostgreSQL responds in time").expect("a connection to PostgreSQL")
    }

    /// The connection of an earlier statement, unless it was closed, or belongs to the runtime of a test that has ended.
    async fn idle_or_new(&self) -> PgConnection {
        if let Some(mut idle) = self.idle.take()
            && let Ok(Ok(())) = tokio::time::timeout(wait::PATIENCE, idle.ping()).await
        {
            return idle;
        }
        self.connect().await
    }

    /// Runs a statement and returns the number of changed rows.
    ///
    /// # Panics
    /// When it fails.
    pub async fn execute(&self, sql: &'static str) -> u64 {
        let mut connection = self.idle_or_new().await;
        let done = sqlx::query(sql).persistent(false).execute(&mut connection).await.expect(sql);
        self.idle.put_back(connection);
        done.rows_affected()
    }

    /// Runs a statement with one parameter (`$1`) and returns the number of changed rows.
    ///
    /// # Panics
    /// When it fails.
    pub async fn execute_for(&self, sql: &'static str, key: &str) -> u64 {
        let mut connection = self.idle_or_new().await;
        let done = sqlx::query(sql).bind(key).persistent(false).execute(&mut connection).await.expect(sql);
        self.idle.put_back(connection);
        done.rows_affected()
    }

    /// Opens a transaction and runs this statement in it. The locks are held until it is committed, or until the connection
    /// is dropped.
    ///
    /// # Panics
    /// When it fails.
    pub async fn begin(&self, sql: &'static str) -> PgConnection {
        let mut connection = self.connect().await;
        for sql in ["BEGIN", sql] {
            sqlx::query(sql).execute(&mut connection).await.expect(sql);
        }
        connection
    }

    /// Waits until at least this number of connections to the database wait for a lock.
    pub async fn wait_until_blocked(&self, connections: i64) {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = $1 AND wait_event_type = 'Lock'";
        wait::until(&format!("{connections} connections to wait for a lock"), || async {
            let blocked = self.count(sql, &self.name).await;
            wait::check(blocked >= connections, blocked)
        })
        .await;
    }

    /// The number that a statement with one parameter (`$1`) returns.
    ///
    /// # Panics
    /// When it fails.
    pub async fn count(&self, sql: &'static str, key: &str) -> i64 {
        let mut connection = self.idle_or_new().await;
        let query = sqlx::query_scalar(sql).bind(key).persistent(false);
        let found = query.fetch_one(&mut connection).await.expect(sql);
        self.idle.put_back(connection);
        found
    }

    /// The text that a statement with one parameter (`$1`) returns.
    ///
    /// # Panics
    /// When it fails.
    pub async fn text(&self, sql: &'static str, key: &str) -> String {
        let mut connection = self.idle_or_new().await;
        let query = sqlx::query_scalar(sql).bind(key).persistent(false);
        let found = query.fetch_one(&mut connection).await.expect(sql);
        self.idle.put_back(connection);
        found
    }
}

//! PostgreSQL with a streaming standby. Replication is synchronous: with asynchronous replication a failover may lose
//! acknowledged writes, which no server can prevent (docs/explanation/security.md).

use std::time::Duration;

use latchkey_tests::postgres::{Database, Postgres};
use latchkey_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, QueryBuilder};
use tokio::task::block_in_place;

use crate::proxy::{Mode, Proxy};
use crate::small_disk::SmallDisk;

const SETTINGS: [&str; 5] = [
    // A crash must not lose what was acknowledged.
    "synchronous_commit=on",
    // So few that they can be used up.
    "max_connections=120",
    "autovacuum=on",
    "wal_sender_timeout=60s",
    // A walsender that is stopped must not delay a shutdown for long.
    "wal_receiver_timeout=60s",
];

/// A primary, its standby, and a proxy for each replica of the server.
#[derive(Debug)]
pub struct Databases {
    primary: Postgres,
    standby: Option<Postgres>,
    /// The database, without a proxy.
    pub direct: Database,
    /// One for each replica.
    pub proxies: Vec<Proxy>,
    hogs: Vec<PgConnection>,
    /// Holds the tables of a database without a standby, where the test may mount file systems.
    disk: Option<SmallDisk>,
}

impl Databases {
    /// Starts a primary and, on request, a standby.
    pub async fn start(replicas: usize, with_standby: bool) -> Self {
        let mut primary = Postgres::start();
        block_in_place(|| primary.restart_with(&SETTINGS));
        let direct = primary.create_database().await;
        // A replica whose clock is behind must not sign tokens that are older than the database.
        let sql = "UPDATE revocation_state SET tokens_valid_from = now() - interval '1 hour'";
        // A session that stays open would prevent the move to another disk.
        let mut connection = direct.connect().await;
        sqlx::query(sql).execute(&mut connection).await.expect(sql);
        connection.close().await.expect("a closed connection");
        let proxies = (0..replicas).map(|_| Proxy::to(primary.port())).collect();
        // A standby on the same machine would use the same file system.
        let disk = if with_standby { None } else { SmallDisk::mount() };
        let mut databases = Self { primary, standby: None, direct, proxies, hogs: Vec::new(), disk };
        if with_standby {
            databases.add_standby().await;
        }
        databases.move_to_small_disk().await;
        databases
    }

    async fn move_to_small_disk(&self) {
        let Some(disk) = &self.disk else { return };
        let mut administrator = self.primary.connect_as_administrator().await;
        for sql in [
            format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display()),
            format!("ALTER DATABASE {} SET TABLESPACE small", self.direct.name),
        ] {
            QueryBuilder::new(sql).build().persistent(false).execute(&mut administrator).await.expect("SQL");
        }
    }

    async fn add_standby(&mut self) {
        let mut standby = block_in_place(|| self.primary.start_standby());
        block_in_place(|| standby.restart_with(&SETTINGS));
        self.standby = Some(standby);
        for sql in ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"] {
            self.direct.execute(sql).await;
        }
        wait::until("replication to be synchronous", || async {
            let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND $1 <> ''";
            wait::check(self.direct.count(sql, "-").await == 1, "no synchronous standby")
        })
        .await;
    }

    pub fn has_standby(&self) -> bool {
        self.standby.is_some()
    }

    /// The URL for a replica of the server.
    pub fn url(&self, replica: usize) -> String {
        self.direct.by_port(self.proxies[replica].port()).url()
    }

    pub fn set_all(&self, mode: Mode) {
        for proxy in &self.proxies {
            proxy.set(mode);
        }
    }

    /// Stops the primary for a while.
    pub async fn restart(&mut self, pause: Duration, crash: bool) {
        block_in_place(|| if crash { self.primary.stop_immediately() } else { self.primary.stop() });
        tokio::time::sleep(pause).await;
        block_in_place(|| self.primary.start_again());
    }

    /// Loses the primary, promotes the standby and starts another one. What was acknowledged is on the standby.
    pub async fn fail_over(&mut self) {
        let Some(standby) = self.standby.take() else { return };
        // The old primary is fenced: it has ended, and no connection leads to it.
        self.set_all(Mode::Refuse);
        block_in_place(|| self.primary.stop_immediately());
        block_in_place(|| standby.promote());
        for proxy in &self.proxies {
            proxy.lead_to(standby.port());
        }
        self.direct = self.direct.by_port(standby.port());
        self.primary = standby;
        self.set_all(Mode::Forward);
        self.add_standby().await;
    }

    /// Stops the process that sends changes to the standby: commits wait until it continues.
    pub async fn stop_replication(&self) -> Vec<Pid> {
        let sql = "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_replication WHERE $1 <> ''";
        let pids = self.direct.text(sql, "-").await;
        let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw);
        let pids: Vec<_> = pids.collect();
        for pid in &pids {
            // It may have ended meanwhile.
            let _ = kill(*pid, Signal::SIGSTOP);
        }
        pids
    }

    pub fn resume_replication(pids: &[Pid]) {
        for pid in pids {
            // It has ended with a lost primary.
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }

    pub fn has_small_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Fills the disk for a while.
    pub async fn fill_disk(&self, pause: Duration) {
        let Some(disk) = &self.disk else { return };
        block_in_place(|| disk.fill());
        tokio::time::sleep(pause).await;
        disk.clear();
    }

    /// Opens connections until PostgreSQL refuses one.
    pub async fn use_up_connections(&mut self) {
        while self.hogs.len() < 200 {
            match try_connect(&self.direct).await {
                Some(connection) => self.hogs.push(connection),
                None => return,
            }
        }
    }

    pub fn release_connections(&mut self) {
        self.hogs.clear();
    }
}

async fn try_connect(database: &Database) -> Option<PgConnection> {
    use sqlx::Connection as _;
    let connecting = PgConnection::connect(&database.url());
    // Without TLS the URL is complete.
    tokio::time::timeout(Duration::from_secs(5), connecting).await.ok()?.ok()
}

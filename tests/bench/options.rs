//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::cpu::cores;

/// Measures the server on this machine, and beside each figure the most that the machine allows.
///
/// Starts PostgreSQL (with fsync) and Redis, fills the database with 100,000 accounts, 1,000,000 sessions and 100,000
/// revocations, and starts the server with its default settings. The first run fills the databases, which takes some
/// minutes; they are cached in $LATCHKEY_CACHE/bench (4 GB). Everything that it starts ends with it.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench", version, max_term_width = 100)]
pub struct Options {
    /// How long each load is measured, after a warm-up of a third of it
    #[arg(long, default_value_t = 4.0, value_parser = seconds)]
    pub seconds: f64,
    /// How often each figure is measured; the table has the median, the smallest and the largest
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub runs: u16,
    /// Measure only these rows, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROWS")]
    pub only: Vec<Row>,
    /// A small database and one short run: shows that everything works; its figures mean little
    #[arg(long)]
    pub quick: bool,
    /// Replicas of the server; the load is spread over them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub replicas: u16,
    /// Put PgBouncer between the server and PostgreSQL
    #[arg(long)]
    pub pgbouncer: bool,
    /// Which Redis the server uses
    #[arg(long, value_enum, default_value_t = RedisKind::Single)]
    pub redis: RedisKind,
    /// Threads of the load generator (default: half of the cores)
    #[arg(long)]
    pub generator_threads: Option<usize>,
    /// The folder for results.json and latency.svg
    #[arg(long, env = "LATCHKEY_BENCH_OUTPUT", default_value = "target/bench", value_name = "FOLDER")]
    pub output: PathBuf,
    /// Only compare with the Keycloak in this folder, which scripts/bench-peers has prepared
    #[arg(long, value_name = "FOLDER")]
    pub keycloak: Option<PathBuf>,
    /// Do not write docs/reference/performance.md; it is only written if all rows are measured with one server
    #[arg(long)]
    pub keep_docs: bool,
}

/// A group of figures that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// Password logins, and argon2id alone
    Logins,
    /// GET /me, and a plain axum response
    Me,
    /// GET /verify, and a plain axum response
    Verify,
    /// POST /introspect, and a plain axum response
    Introspect,
    /// POST /token with client_credentials, and a plain axum response
    ClientTokens,
    /// POST /refresh, and a bare durable transaction
    Refresh,
    /// POST /logout, and a bare durable transaction
    Logout,
    /// Redis round trips with the keys of the server
    Redis,
    /// Latency of /me at 60% of its capacity, and over the load
    Latency,
    /// Logins at three times the capacity, latency of /me meanwhile, memory
    Storm,
    /// From the start of the process to readiness
    Start,
    /// CPU time of /me with 100 and 1,000,000 revocations
    Revocations,
    /// /me, logins and refreshes with 1,000 and 1,000,000 accounts
    Users,
    /// Sizes of the container images
    Images,
    /// What one request costs PostgreSQL and Redis
    Cost,
    /// The rate of /me and of the plain response as measured by wrk
    Wrk,
}

/// The topology of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RedisKind {
    /// One Redis
    Single,
    /// A primary and a replica behind three Sentinels
    Sentinel,
    /// A Redis Cluster of two nodes
    Cluster,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.5..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number from 0.5 to 600".to_owned()),
    }
}

impl Options {
    /// The options of the command line.
    pub fn read() -> Self {
        let mut options = Self::parse();
        if options.quick {
            options.seconds = options.seconds.min(2.0);
            options.runs = 1;
        }
        options
    }

    /// Whether a row is measured.
    pub fn wants(&self, row: Row) -> bool {
        self.only.is_empty() || self.only.contains(&row)
    }

    /// Whether one of these rows is measured.
    pub fn wants_any(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| self.wants(*row))
    }

    /// Whether all rows are measured as in the documentation.
    pub fn is_complete(&self) -> bool {
        self.only.is_empty()
            && self.keycloak.is_none()
            && !self.quick
            && self.replicas == 1
            && !self.pgbouncer
            && self.redis == RedisKind::Single
    }

    /// How long each load is measured.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How long a load runs before it is measured.
    pub fn warm_up(&self) -> Duration {
        self.duration() / 3
    }

    /// Threads of the load generator.
    pub fn threads(&self) -> usize {
        self.generator_threads.unwrap_or(cores() / 2).max(1)
    }
}

//! What the machine allows without the server.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use argon2::{Argon2, Block};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use latchkey_tests::process::{OnParentDeath, Process, free_port};
use latchkey_tests::redis::Redis;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::cpu::cores;
use crate::data::BARE_ROWS;
use crate::flows::Read;
use crate::instance::Instance;
use crate::load::{Pace, Report};
use crate::options::Options;
use crate::stack::load;

/// The default of `DATABASE_POOL_SIZE`.
const POOL_SIZE: usize = 20;

/// The variable with the URL of the database for [`answer_plainly`].
const PLAIN_DATABASE: &str = "LATCHKEY_BENCH_DATABASE_URL";

/// The argument with which this program is a server with a plain response.
pub const PLAIN: &str = "--plain-answer";

/// Hashes per second with argon2id and the parameters of the server, on all cores.
pub async fn argon2id(duration: Duration) -> anyhow::Result<f64> {
    tokio::task::spawn_blocking(move || {
        let threads = cores();
        let begin = Instant::now();
        let hashes: usize = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..threads).map(|_| scope.spawn(move || hash_until(begin, duration))).collect();
            workers.into_iter().map(|worker| worker.join().expect("a hash worker")).sum()
        });
        hashes as f64 / begin.elapsed().as_secs_f64()
    })
    .await
    .context("argon2id")
}

fn hash_until(begin: Instant, duration: Duration) -> usize {
    let argon2 = Argon2::default();
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    let mut output = [0_u8; 32];
    let mut done = 0;
    while begin.elapsed() < duration {
        let (password, salt) = (b"correct-horse-battery-staple", [7; 16]);
        argon2
            .hash_password_into_with_memory(password, &salt, &mut output, &mut memory)
            .expect("valid parameters");
        done += 1;
    }
    done
}

/// A server in another process that answers each request with the same profile.
pub struct Plain {
    process: Process,
    address: SocketAddr,
}

impl Plain {
    /// Starts it.
    pub async fn start(instance: &Instance) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(PLAIN).arg(address.to_string()).env(PLAIN_DATABASE, instance.url(instance.port()));
        let process = Process::start(&command, OnParentDeath::Kill);
        latchkey_tests::wait::until("the plain server to listen", || tokio::net::TcpStream::connect(address))
            .await;
        Ok(Self { process, address })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs a load with as many connections as that of `/me`. Returns also its CPU microseconds for a request.
    pub async fn run(
        &self,
        options: &Options,
        connections: usize,
        pace: Pace,
    ) -> anyhow::Result<(Report, f64)> {
        self.run_flow(Read::plain("/"), options, connections, pace).await
    }

    /// The same with a durable transaction in each request.
    pub async fn run_updates(&self, options: &Options, connections: usize) -> anyhow::Result<(Report, f64)> {
        self.run_flow(Read::plain("/update"), options, connections, Pace::Closed).await
    }

    async fn run_flow(
        &self,
        flow: Read,
        options: &Options,
        connections: usize,
        pace: Pace,
    ) -> anyhow::Result<(Report, f64)> {
        let before = self.process.processor_seconds();
        let report = load(options, Arc::new(flow), vec![self.address], connections, pace).run().await?;
        let micros = (self.process.processor_seconds() - before) * 1e6 / report.total.max(1) as f64;
        Ok((report.checked().context("the plain response")?, micros))
    }
}

/// The server with a plain response, until it is killed.
pub async fn answer_plainly(address: &str) -> anyhow::Result<()> {
    let profile = || async {
        Json(json!({
            "id": 1, "username": "load-1", "email": "load-1@example.test", "name": "Load 1",
            "is_superuser": false, "is_active": true
        }))
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    let pool = PgPoolOptions::new().max_connections(POOL_SIZE as u32).test_before_acquire(false);
    let pool = pool.connect_lazy(&std::env::var(PLAIN_DATABASE)?)?;
    let next = Arc::new(AtomicUsize::new(0));
    let update = move || async move {
        let id = bare_row(next.fetch_add(1, Ordering::Relaxed));
        let value = sqlx::query_scalar::<_, i64>(UPDATE).bind(id).fetch_one(&pool).await;
        value.map(Json).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    };
    axum::serve(listener, Router::new().route("/", get(profile)).route("/update", get(update))).await?;
    Ok(())
}

const UPDATE: &str = "UPDATE bench_rows SET value = value + 1 WHERE id = $1 RETURNING value";

/// Consecutive updates are far apart.
fn bare_row(sequence: usize) -> i32 {
    1 + (sequence.wrapping_mul(7_919) % BARE_ROWS as usize) as i32
}

/// Durable transactions per second: each connection of the pool updates one row, again and again.
pub async fn durable_updates(instance: &Instance, duration: Duration) -> anyhow::Result<f64> {
    let mut connections = Vec::new();
    for _ in 0..POOL_SIZE {
        connections.push(instance.connect().await?);
    }
    let begin = Instant::now();
    let tasks = connections.into_iter().enumerate().map(|(number, mut connection)| {
        tokio::spawn(async move {
            let mut done = 0_usize;
            while begin.elapsed() < duration {
                let id = bare_row(number + done * POOL_SIZE);
                sqlx::query_scalar::<_, i64>(UPDATE).bind(id).fetch_one(&mut connection).await?;
                done += 1;
            }
            anyhow::Ok(done)
        })
    });
    sum(tasks.collect(), begin).await
}

/// The beginning of keys like those of a server.
pub fn redis_prefix() -> String {
    format!("latchkey:{{{}}}:", Uuid::nil().simple())
}

/// Round trips per second: 32 clients that share a connection read three keys like those of the server.
pub async fn redis_reads(redis: &Redis, duration: Duration) -> anyhow::Result<f64> {
    let mut connection = redis.connect().await;
    // A busy machine is slow, not broken.
    connection.set_response_timeout(Duration::from_secs(10));
    let begin = Instant::now();
    let tasks = (0..32).map(|_| {
        let mut connection = connection.clone();
        tokio::spawn(async move {
            let mut done = 0;
            let prefix = redis_prefix();
            while begin.elapsed() < duration {
                let keys = [
                    format!("{prefix}epoch"),
                    format!("{prefix}revoked:{}", Uuid::nil()),
                    format!("{prefix}account:12345"),
                ];
                let _: Vec<Option<String>> =
                    redis::cmd("MGET").arg(&keys).query_async(&mut connection).await?;
                done += 1;
            }
            anyhow::Ok(done)
        })
    });
    sum(tasks.collect(), begin).await
}

async fn sum(
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<usize>>>,
    begin: Instant,
) -> anyhow::Result<f64> {
    let mut done = 0;
    for task in tasks {
        done += task.await.context("a client")??;
    }
    Ok(done as f64 / begin.elapsed().as_secs_f64())
}

//! What one request costs the server, PostgreSQL and Redis.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use latchkey_tests::process::run_ok;
use sqlx::Connection as _;

use super::Bench;
use crate::figure::Figure;
use crate::load::{Load, Pace};
use crate::progress;
use crate::results::Cost;
use crate::stack::{Call, Stack};

/// An idle server is as busy in a second as in the one before, to this extent.
const STEADY: f64 = 0.9;

/// Fewer than at saturation: nothing waits.
const CONNECTIONS: usize = 8;

/// The counters of the stores and of the servers.
#[derive(Clone, Copy)]
struct Counters([f64; 10]);

/// The counters at a time, with the bytes of each connection to the database.
struct Reading {
    counters: Counters,
    sockets: BTreeMap<String, f64>,
}

impl Reading {
    async fn now(stack: &Stack) -> anyhow::Result<Self> {
        let mut connection = stack.postgres().connect().await?;
        // The statements of this function are not among them.
        let sql = "SELECT coalesce(sum(calls), 0)::float8,
                          pg_snapshot_xmax(pg_current_snapshot())::text::float8,
                          pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8
                   FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'";
        let (statements, transactions, wal): (f64, f64, f64) =
            sqlx::query_as(sql).fetch_one(&mut connection).await?;
        connection.close().await?;
        let info = redis_info(stack).await?;
        let redis = |name: &str| info.get(name).copied().unwrap_or_default();
        let counters = Counters([
            stack.processor_seconds() * 1e6,
            statements,
            transactions,
            stack.postgres().processor_seconds() * 1e6,
            wal,
            0.0,
            redis("total_reads_processed"),
            redis("total_commands_processed"),
            (redis("used_cpu_user") + redis("used_cpu_sys")) * 1e6,
            redis("total_net_input_bytes") + redis("total_net_output_bytes"),
        ]);
        Ok(Self { counters, sockets: socket_bytes(stack) })
    }

    /// What was counted since. Connections that were closed meanwhile are left out.
    fn since(&self, before: &Self) -> Counters {
        let mut since: [f64; 10] =
            std::array::from_fn(|index| self.counters.0[index] - before.counters.0[index]);
        let more = |(socket, bytes): (&String, &f64)| bytes - before.sockets.get(socket).unwrap_or(&0.0);
        since[5] = self.sockets.iter().map(more).sum();
        Counters(since)
    }
}

impl Counters {
    fn or_less(self, other: Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index].min(other.0[index])))
    }

    /// For one of `requests`, without what the same time costs without requests.
    fn of_one(self, idle_per_second: Self, seconds: f64, requests: u64) -> Self {
        let one =
            |index: usize| (self.0[index] - idle_per_second.0[index] * seconds) / requests.max(1) as f64;
        Self(std::array::from_fn(|index| one(index).max(0.0)))
    }
}

impl Bench<'_> {
    /// Counts what each call costs.
    pub async fn cost(&mut self) -> anyhow::Result<()> {
        progress("restarting with pg_stat_statements");
        let settings =
            ["shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_planning=off"];
        self.stack.restart_with(&settings).await?;
        let idle = idle_per_second(&self.stack).await?;
        let replicas = f64::from(self.options.replicas);
        let name = "SQL statements per second of an idle server";
        self.results.add(Figure::new(name, "", idle.0[1] / replicas));
        self.results.add(Figure::new(
            "Redis round trips per second of an idle server",
            "",
            idle.0[6] / replicas,
        ));
        self.sizes().await?;
        let most = (8_000.0 * self.options.seconds.max(1.0)) as i64;
        for call in Call::ALL {
            progress(&format!("cost: {}", call.name()));
            let flow = self.stack.flow(call, most).await?;
            // Connections are open and statements are prepared before it is counted.
            self.counted_load(Arc::clone(&flow), Duration::from_secs(1)).run().await?.checked()?;
            let flow = if call == Call::Logout { self.stack.flow(call, most).await? } else { flow };
            let (begin, before) = (Instant::now(), Reading::now(&self.stack).await?);
            let load = self.counted_load(flow, Duration::from_secs_f64(self.options.seconds));
            let report = load.run().await?.checked()?;
            let after = Reading::now(&self.stack).await?;
            let one = after.since(&before).of_one(idle, begin.elapsed().as_secs_f64(), report.total).0;
            let cost = Cost {
                request: call.name(),
                server_micros: one[0],
                statements: one[1],
                transactions: one[2],
                postgres_micros: one[3],
                wal_bytes: one[4],
                postgres_bytes: one[5],
                redis_round_trips: one[6],
                redis_commands: one[7],
                redis_micros: one[8],
                redis_bytes: one[9],
            };
            progress(&format!("  {cost:?}"));
            self.results.costs.push(cost);
        }
        Ok(())
    }

    /// What is stored for a session and for a revocation.
    async fn sizes(&mut self) -> anyhow::Result<()> {
        let mut connection = self.stack.postgres().connect().await?;
        let sql = "SELECT (pg_total_relation_size('sessions') + pg_total_relation_size('refresh_tokens'))::float8
                              / (SELECT count(*) FROM sessions),
                          pg_total_relation_size('audit_events')::float8 / (SELECT count(*) FROM audit_events),
                          pg_total_relation_size('users')::float8 / (SELECT count(*) FROM users),
                          (SELECT count(*) FROM revocations)::float8";
        let (session, event, user, revocations): (f64, f64, f64, f64) =
            sqlx::query_as(sql).fetch_one(&mut connection).await?;
        connection.close().await?;
        let memory = redis_info(&self.stack).await?.get("used_memory_dataset").copied().unwrap_or_default();
        for (name, bytes) in [
            ("PostgreSQL: a session with its refresh token and all indexes", session),
            ("PostgreSQL: an audit event with all indexes", event),
            ("PostgreSQL: an account with all indexes", user),
            ("Redis: memory for a revocation", memory / revocations),
        ] {
            self.results.add(Figure::new(name, "bytes", bytes));
        }
        Ok(())
    }

    fn counted_load(&self, flow: Arc<dyn crate::load::Flow>, duration: Duration) -> Load {
        let load = self.stack.load(flow, CONNECTIONS, Pace::Closed);
        Load { warm_up: Duration::ZERO, duration, ..load }
    }
}

/// What the stores and servers do without requests. After its start a server compares all revocations with Redis.
async fn idle_per_second(stack: &Stack) -> anyhow::Result<Counters> {
    let mut least = Counters([f64::INFINITY; 10]);
    let mut previous = f64::INFINITY;
    for window in 1..=15 {
        let (begin, before) = (Instant::now(), Reading::now(stack).await?);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let more = Reading::now(stack).await?.since(&before);
        let seconds = begin.elapsed().as_secs_f64();
        let [_, statements, ..] = more.0;
        least = least.or_less(Counters(more.0.map(|value| value / seconds)));
        if window > 3 && statements / seconds > STEADY * previous {
            break;
        }
        previous = statements / seconds;
    }
    Ok(least)
}

async fn redis_info(stack: &Stack) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut all = BTreeMap::new();
    for redis in stack.redis() {
        let info: String =
            redis::cmd("INFO").query_async(&mut redis.connect().await).await.context("INFO")?;
        for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
            if let Ok(value) = value.trim().parse::<f64>() {
                *all.entry(name.to_owned()).or_default() += value;
            }
        }
    }
    Ok(all)
}

/// The bytes that each connection of the servers to the database has sent and received, as the kernel counts them.
fn socket_bytes(stack: &Stack) -> BTreeMap<String, f64> {
    let printed =
        run_ok(Command::new("ss").args(["-tinHOp", &format!("dport = :{}", stack.database_port())]));
    let of_servers = |line: &&str| {
        stack.replicas.iter().any(|replica| line.contains(&format!("pid={},", replica.process.id())))
    };
    let count = |line: &str| {
        let counted = line.split_whitespace().filter_map(|field| {
            let bytes =
                field.strip_prefix("bytes_sent:").or_else(|| field.strip_prefix("bytes_received:"))?;
            bytes.parse::<f64>().ok()
        });
        // The fourth column is the address of the server's end.
        (line.split_whitespace().nth(3).unwrap_or_default().to_owned(), counted.sum())
    };
    printed.lines().filter(of_servers).map(count).collect()
}

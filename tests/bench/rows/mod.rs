//! The rows of the table, in the order in which they are measured.

mod compared;
mod cost;
mod images;
mod latency;
mod peers;
mod start;
mod storm;
mod throughput;
mod wrk;

use std::panic::AssertUnwindSafe;

use anyhow::Context;
use futures::FutureExt;

use crate::ceilings::Plain;
use crate::data::Size;
use crate::options::{Options, Row};
use crate::progress;
use crate::results::Results;
use crate::stack::Stack;

/// What the rows share.
struct Bench<'a> {
    options: &'a Options,
    results: &'a mut Results,
    stack: Stack,
    plain: Plain,
    /// Profile reads per second, once they are measured.
    reads: Option<f64>,
    /// Logins per second, once they are measured.
    logins: Option<f64>,
}

fn size(options: &Options) -> Size {
    if options.quick {
        Size { users: 5_000, sessions: 100_000, revocations: 1_000 }
    } else {
        Size { users: 100_000, sessions: 1_000_000, revocations: 100_000 }
    }
}

/// The outcome of a row. A program that does not start ends its row with a panic.
async fn attempt(row: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let outcome = AssertUnwindSafe(row).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked")))
}

/// Measures the requested rows. A row that fails does not prevent the others.
pub async fn measure(options: &Options, results: &mut Results) -> anyhow::Result<()> {
    let mut errors = Vec::new();
    let mut note = |row: &str, outcome: anyhow::Result<()>| {
        if let Err(error) = outcome {
            progress(&format!("  FAILED: {row}: {error:#}"));
            errors.push(row.to_owned());
        }
    };
    if let Some(keycloak) = &options.keycloak {
        return attempt(peers::compare(options, keycloak, results)).await;
    }
    let on_main = [
        Row::Logins,
        Row::Me,
        Row::Verify,
        Row::Introspect,
        Row::ClientTokens,
        Row::Refresh,
        Row::Logout,
        Row::Redis,
        Row::Latency,
        Row::Storm,
        Row::Start,
        Row::Wrk,
        Row::Cost,
    ];
    if options.wants_any(&on_main) {
        progress("starting the stores and the server");
        let stack = Stack::start(options, size(options)).await.context("the start")?;
        let plain = Plain::start(stack.postgres()).await?;
        let mut bench = Bench { options, results, stack, plain, reads: None, logins: None };
        if options.wants(Row::Storm) {
            note("memory", attempt(bench.idle_memory()).await);
        }
        if options.wants(Row::Start) {
            note("start", attempt(bench.start_to_ready()).await);
        }
        note("throughput", attempt(bench.throughput()).await);
        if options.wants(Row::Wrk) {
            note("wrk", attempt(bench.wrk()).await);
        }
        if options.wants(Row::Latency) {
            note("latency", attempt(bench.latency()).await);
        }
        if options.wants(Row::Storm) {
            note("storm", attempt(bench.storm()).await);
        }
        if options.wants(Row::Cost) {
            note("cost", attempt(bench.cost()).await);
        }
    }
    if options.wants(Row::Revocations) {
        note("revocations", attempt(compared::revocations(options, results)).await);
    }
    if options.wants(Row::Users) {
        note("users", attempt(compared::users(options, results)).await);
    }
    if options.wants(Row::Images) {
        note("images", attempt(images::sizes(results)).await);
    }
    anyhow::ensure!(errors.is_empty(), "not measured: {}", errors.join(", "));
    Ok(())
}

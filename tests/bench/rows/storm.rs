//! Logins at three times the capacity.

use std::sync::Arc;
use std::time::Duration;

use super::Bench;
use crate::cpu::cores;
use crate::figure::{Figure, Samples, Target, megabytes, number};
use crate::flows::Login;
use crate::load::{Load, Pace, Report};
use crate::progress;
use crate::replica::Replica;
use crate::stack::Call;

/// Profile reads per second meanwhile: far below the capacity.
const READS: f64 = 300.0;

/// The memory block of one hash with the default parameters, in MB.
const BLOCK: f64 = 19.0;

/// How often memory is read.
const SAMPLE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Storm {
    unloaded: Samples,
    loaded: Samples,
    answered: Samples,
    slowest: Samples,
    peak: Samples,
    refused: u64,
    with_retry_after: u64,
    others: Vec<String>,
}

impl Bench<'_> {
    /// The memory of another server after its start.
    pub async fn idle_memory(&mut self) -> anyhow::Result<()> {
        let mut replica = Replica::start_alone(&self.stack.variables)?;
        replica.wait_until_ready().await?;
        // What the start needed is returned within seconds.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let measured = megabytes(replica.process.memory().resident);
        let figure = Figure::new("resident memory, idle after the start", "MB", measured);
        self.results.add(figure.target(Target::Under(14.0)));
        Ok(())
    }

    /// Logins at three times the capacity, and profile reads meanwhile.
    pub async fn storm(&mut self) -> anyhow::Result<()> {
        let capacity = self.login_capacity().await?;
        let mut storm = Storm::default();
        for run in 1..=self.options.runs {
            progress(&format!("login storm: run {run} of {}", self.options.runs));
            self.one_storm(capacity, &mut storm).await?;
        }
        let workers = self.hash_workers().await?;
        let name = "99th percentile of GET /me while logins arrive at three times the capacity";
        let reads = Figure::new(name, "ms", storm.loaded).beside("without logins", &storm.unloaded);
        self.results.add(reads.target(Target::RatioAtMost(3.0)).note(format!("{READS:.0} reads per second")));
        let capacities = Samples::from(vec![capacity; storm.slowest.len()]);
        let answered = Figure::new("logins answered in the storm, per second", "", storm.answered);
        let note = format!(
            "{} refused with 503, {} of them with Retry-After; other responses: {}",
            storm.refused,
            storm.with_retry_after,
            if storm.others.is_empty() { "none".to_owned() } else { storm.others.join("; ") }
        );
        let answered = answered.beside("capacity", &capacities).target(Target::RatioAtLeast(0.9)).note(note);
        self.results.add(answered);
        let slowest = Figure::new("latest response to a login of the storm", "s", storm.slowest);
        self.results.add(
            slowest.target(Target::Under(2.0)).note("from the time at which the request should be sent"),
        );
        let limit = workers * BLOCK + 10.0;
        let peak = Figure::new("largest resident memory in the storm", "MB", storm.peak);
        let note = format!("the memory blocks of {workers:.0} hash workers and 10 MB");
        self.results.add(peak.target(Target::Under(limit)).note(note));
        if self.options.quick {
            return Ok(());
        }
        progress("waiting for a minute after the storm");
        tokio::time::sleep(Duration::from_mins(1)).await;
        let memory = megabytes(self.stack.replicas[0].process.memory().resident);
        let after = Figure::new("resident memory one minute later", "MB", memory);
        self.results.add(after.target(Target::Under(24.0)));
        Ok(())
    }

    async fn hash_workers(&self) -> anyhow::Result<f64> {
        let status = self.stack.replicas[0].status().await?;
        Ok(status["password_hash_workers"].as_f64().unwrap_or(cores() as f64))
    }

    async fn reads(&mut self) -> anyhow::Result<Load> {
        let flow = self.stack.flow(Call::Me, 0).await?;
        Ok(Load { threads: 1, ..self.stack.load(flow, 64, Pace::Open(READS)) })
    }

    fn login_storm(&mut self, rate: f64) -> Load {
        let flow: Login = self.stack.logins();
        // A request that waits for a connection of the load generator would not count as late because of the server.
        let load = self.stack.load(Arc::new(flow), 1_500, Pace::Open(rate));
        Load { threads: 1, ..load }
    }

    async fn one_storm(&mut self, capacity: f64, storm: &mut Storm) -> anyhow::Result<()> {
        let reads = self.reads().await?;
        storm.unloaded.push(reads.run().await?.checked()?.latency(0.99));
        let (reads, logins) =
            (self.reads().await?, self.login_storm(3.0 * capacity * f64::from(self.options.replicas)));
        let logins = tokio::spawn(logins.run());
        let reads = tokio::spawn(reads.run());
        let mut peak = 0_f64;
        while !logins.is_finished() {
            let sizes =
                self.stack.replicas.iter().map(|replica| megabytes(replica.process.memory().resident));
            peak = sizes.fold(peak, f64::max);
            tokio::time::sleep(SAMPLE).await;
        }
        let (logins, reads): (Report, Report) = (logins.await??, reads.await??.checked()?);
        storm.loaded.push(reads.latency(0.99));
        storm.answered.push(logins.rate());
        storm.slowest.push(logins.slowest() / 1000.0);
        storm.peak.push(peak);
        storm.refused += logins.count(503);
        storm.with_retry_after += logins.with_retry_after;
        if logins.failures > 0 {
            storm.others.push(format!("{} without a response", logins.failures));
        }
        let others = logins.statuses_except(&[200, 503]);
        if !others.is_empty() {
            storm.others.push(others);
        }
        progress(&format!(
            "  logins {}; slowest {} s; peak {} MB",
            logins.statuses(),
            number(logins.slowest() / 1000.0),
            number(peak)
        ));
        Ok(())
    }
}

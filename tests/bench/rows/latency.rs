//! Latency in an open loop.

use super::Bench;
use crate::figure::{Figure, Samples, Target};
use crate::load::{Pace, Report};
use crate::progress;
use crate::results::Point;
use crate::stack::Call;

/// The shares of the capacity in the picture.
const SHARES: [f64; 6] = [0.1, 0.3, 0.5, 0.7, 0.85, 1.0];

/// Connections of an open loop: each request finds one that is free.
const CONNECTIONS: usize = 128;

impl Bench<'_> {
    async fn reads_at(&mut self, rate: f64) -> anyhow::Result<Report> {
        let flow = self.stack.flow(Call::Me, 0).await?;
        self.stack.load(flow, CONNECTIONS, Pace::Open(rate)).run().await?.checked()
    }

    async fn plain_at(&mut self, rate: f64) -> anyhow::Result<Report> {
        Ok(self.plain.run(self.options, CONNECTIONS, Pace::Open(rate)).await?.0)
    }

    /// The latency of `/me` at 60% of its capacity, and at several loads.
    pub async fn latency(&mut self) -> anyhow::Result<()> {
        let capacity = self.read_capacity().await?;
        let rate = 0.6 * capacity;
        let (mut read, mut plain) = (Samples::default(), Samples::default());
        for run in 1..=self.options.runs {
            progress(&format!("latency: run {run} of {}", self.options.runs));
            plain.push(self.plain_at(rate).await?.latency(0.99));
            read.push(self.reads_at(rate).await?.latency(0.99));
        }
        let name = "99th percentile of GET /me at 60% of its capacity";
        let figure = Figure::new(name, "ms", read.clone());
        self.results.add(figure.target(Target::Under(2.0)).note(format!("open loop, {rate:.0} per second")));
        self.results.add(
            Figure::new(format!("{name}, compared"), "ms", read)
                .beside("plain axum response at the same rate", &plain)
                .target(Target::RatioAtMost(3.0)),
        );
        for share in SHARES {
            let rate = share * capacity;
            progress(&format!("latency: {rate:.0} requests per second"));
            let plain = self.plain_at(rate).await?;
            let read = self.reads_at(rate).await?;
            self.results.curve.push(Point {
                rate,
                p50: read.latency(0.5),
                p99: read.latency(0.99),
                p999: read.latency(0.999),
                plain_p99: plain.latency(0.99),
            });
        }
        Ok(())
    }
}

//! A cross-check of the load generator with another one.

use std::process::Command;

use anyhow::Context;
use latchkey_tests::app::path;
use latchkey_tests::programs::debian;

use super::Bench;
use crate::figure::{Figure, Samples};
use crate::progress;
use crate::stack::Call;

impl Bench<'_> {
    /// The rate of `/me` and of the plain response as wrk measures it, with the same number of connections.
    pub async fn wrk(&mut self) -> anyhow::Result<()> {
        progress("cross-check with wrk");
        let session = self.stack.sessions(1).await?.remove(0);
        let header = format!("Authorization: Bearer {}", session.access);
        let me = format!("http://{}{}", self.stack.targets()[0], path::ME);
        let plain = format!("http://{}/", self.plain.address());
        let (mut read, mut ceiling) = (Samples::default(), Samples::default());
        for _ in 0..self.options.runs {
            ceiling.push(self.run_wrk(&plain, &header).await?);
            read.push(self.run_wrk(&me, &header).await?);
        }
        let figure = Figure::new("GET /me per second, measured by wrk", "", read);
        self.results.add(
            figure
                .beside("plain axum response", &ceiling)
                .note("one token for all requests; wrk needs less CPU time than the load generator"),
        );
        Ok(())
    }

    async fn run_wrk(&self, url: &str, header: &str) -> anyhow::Result<f64> {
        let mut command = Command::new(debian("wrk"));
        command.arg(format!("-t{}", self.options.threads())).arg(format!("-c{}", Call::Me.connections()));
        command.arg(format!("-d{}", self.options.seconds.ceil())).args(["-H", header]).arg(url);
        let output = tokio::process::Command::from(command).kill_on_drop(true).output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(!text.contains("Non-2xx"), "requests of wrk failed: {text}");
        let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
        rate.and_then(|rate| rate.trim().parse().ok()).with_context(|| format!("the rate of wrk: {text}"))
    }
}

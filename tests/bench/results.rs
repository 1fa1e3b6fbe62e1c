//! Everything that was measured, and the files that it is written to.

use std::fs;

use anyhow::Context;
use latchkey_tests::programs::{postgres_bin, workspace};
use serde::Serialize;

use crate::figure::Figure;
use crate::options::{Options, RedisKind};
use crate::{cpu, page, progress, scaling, svg};

/// The latencies at one rate.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Requests per second that arrived.
    pub rate: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// The 99th percentile of the plain response at the same rate.
    pub plain_p99: f64,
}

/// What one request costs the server, PostgreSQL and Redis, without what they do anyway.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cost {
    pub request: &'static str,
    pub server_micros: f64,
    pub statements: f64,
    pub transactions: f64,
    pub postgres_micros: f64,
    pub wal_bytes: f64,
    pub postgres_bytes: f64,
    pub redis_round_trips: f64,
    pub redis_commands: f64,
    pub redis_micros: f64,
    pub redis_bytes: f64,
}

/// A closed loop.
#[derive(Debug, Clone, Serialize)]
pub struct Saturation {
    pub request: &'static str,
    pub rate: f64,
    pub generator_micros: f64,
}

/// The results of a run.
#[derive(Debug, Serialize)]
pub struct Results {
    pub machine: String,
    pub cores: usize,
    pub setup: String,
    pub date: String,
    pub load_average_before: f64,
    pub seconds: f64,
    pub figures: Vec<Figure>,
    pub curve: Vec<Point>,
    pub costs: Vec<Cost>,
    pub saturations: Vec<Saturation>,
}

impl Results {
    /// Without figures.
    pub fn new(options: &Options) -> Self {
        let version = postgres_bin().parent().and_then(|folder| folder.file_name()).unwrap_or_default();
        let redis = match options.redis {
            RedisKind::Single => "Redis",
            RedisKind::Sentinel => "Redis behind Sentinel",
            RedisKind::Cluster => "a Redis Cluster of two nodes",
        };
        let pooler = if options.pgbouncer { " behind PgBouncer" } else { "" };
        let setup = format!(
            "{} replica(s) of the server with default settings, PostgreSQL {}{pooler} with default settings and fsync, \
             {redis}; load generator with {} thread(s) on the same cores; {} run(s) of {} s{}",
            options.replicas,
            version.to_string_lossy(),
            options.threads(),
            options.runs,
            options.seconds,
            if options.quick { "; small database" } else { "" }
        );
        Self {
            machine: cpu::description(),
            cores: cpu::cores(),
            setup,
            date: chrono::Utc::now().format("%Y-%m-%d").to_string(),
            load_average_before: cpu::load_average(),
            seconds: 0.0,
            figures: Vec::new(),
            curve: Vec::new(),
            costs: Vec::new(),
            saturations: Vec::new(),
        }
    }

    /// Adds a figure and prints it.
    pub fn add(&mut self, figure: Figure) {
        let [name, measured, ceiling, ratio, target, reached] = figure.cells();
        progress(&format!("  {name}: {measured} | {ceiling} | {ratio} | {target} {reached} {}", figure.note));
        self.figures.push(figure);
    }

    /// Writes the JSON file, the picture, and the section of the documentation.
    pub fn write(&self, options: &Options) -> anyhow::Result<()> {
        if self.figures.is_empty() && self.costs.is_empty() {
            return Ok(());
        }
        let folder = &options.output;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::write(folder.join("results.json"), serde_json::to_string_pretty(self)? + "\n")?;
        if !self.curve.is_empty() {
            fs::write(folder.join("latency.svg"), svg::latency_over_load(&self.curve))?;
        }
        progress(&format!("written: {}", folder.display()));
        if options.is_complete() && !options.keep_docs && !self.curve.is_empty() {
            let reference = workspace().join("docs/reference");
            fs::write(reference.join("latency.svg"), svg::latency_over_load(&self.curve))?;
            page::write(&reference.join("performance.md"), &page::section(self))?;
            page::write(&workspace().join("docs/explanation/scaling.md"), &scaling::section(self))?;
            progress("written: docs/reference/performance.md and latency.svg, docs/explanation/scaling.md");
        }
        Ok(())
    }
}

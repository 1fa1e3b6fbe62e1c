//! Keeps what a run found: a summary of all runs, and the records around each violation.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use crate::checker::Violation;
use crate::history::History;
use crate::run::{Report, say};

/// The folder for the results: `LATCHKEY_CAMPAIGN_RESULTS`. Without it nothing is kept.
fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("LATCHKEY_CAMPAIGN_RESULTS")?);
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}

/// Writes the complete history of a run with violations.
pub fn keep(seed: u64, history: &History, violations: &[Violation]) {
    let Some(folder) = folder().filter(|_| !violations.is_empty()) else { return };
    let mut text = String::new();
    for violation in violations {
        let _ = writeln!(text, "VIOLATION {violation:?}");
    }
    for window in &history.faults {
        let _ = writeln!(text, "FAULT {window:?}");
    }
    for version in &history.registries {
        let _ = writeln!(text, "REGISTRY {version:?}");
    }
    let _ = writeln!(text, "{:?}", history.stalls);
    for line in &history.finals.warnings {
        let _ = writeln!(text, "LOG {line}");
    }
    for record in &history.records {
        let _ = writeln!(text, "{record:?}");
    }
    let file = folder.join(format!("seed-{seed}.txt"));
    if let Err(error) = fs::write(&file, text) {
        say(&format!("{}: {error}", file.display()));
    }
}

/// The figures of all runs.
pub fn summary(reports: &[Report]) -> String {
    let mut text = String::new();
    let requests: usize = reports.iter().map(|report| report.requests).sum();
    let violations: usize = reports.iter().map(|report| report.violations.len()).sum();
    let mut faults = std::collections::BTreeMap::new();
    for report in reports {
        for (fault, count) in &report.faults {
            *faults.entry(*fault).or_insert(0) += count;
        }
    }
    let count: usize = faults.values().sum();
    let _ = writeln!(
        text,
        "{} runs, {requests} requests, {count} faults, {violations} violations",
        reports.len()
    );
    for (fault, count) in faults {
        let _ = writeln!(text, "  {count:6}  {fault:?}");
    }
    for report in reports {
        let _ = writeln!(
            text,
            "seed {}: {} replicas, sentinel {}, standby {}, clocks differ {}; {} requests {:?}; {:?}; slowest {:.1} s; \
             {} MiB; starved {} %; {} sessions lost to the grace period; \
             {} violations",
            report.seed,
            report.plan.replicas,
            report.plan.with_sentinel,
            report.plan.with_standby,
            report.plan.clocks_differ,
            report.requests,
            report.outcomes,
            report.operations,
            report.slowest.as_ref().map_or(0.0, |record| record.took().as_secs_f64()),
            report.peak_memory / 1024 / 1024,
            report.starved_percent,
            report.lost_to_grace_period,
            report.violations.len()
        );
        if let Some(slowest) = &report.slowest {
            let _ = writeln!(text, "  slowest: {slowest:?}");
        }
        for violation in report.violations.iter().take(5) {
            let _ = writeln!(text, "  {:?}: {}", violation.promise, violation.what);
        }
    }
    text
}

/// Writes the figures so far.
pub fn keep_summary(reports: &[Report]) {
    if let Some(folder) = folder()
        && let Err(error) = fs::write(folder.join("summary.txt"), summary(reports))
    {
        say(&format!("the summary cannot be written: {error}"));
    }
}

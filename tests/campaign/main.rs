//! The fault campaign: simulated users and administrators use several replicas while their surroundings misbehave, and a
//! checker proves afterwards that every promise was kept (docs/explanation/reliability.md).
//!
//! The variables `LATCHKEY_CAMPAIGN_*` choose the long form (scripts/campaign-server).
#![expect(clippy::unwrap_used, reason = "a test and its helper functions fail with a panic")]

mod admin;
mod canary;
mod checker;
mod client;
mod faults;
mod finals;
mod history;
mod keep;
mod load;
mod postgres;
mod proxy;
mod random;
mod redis;
mod replica;
mod run;
mod sentinel;
mod small_disk;
mod trickle;
mod user;
mod world;

use std::time::Duration;

use faults::Durations;
use run::{Form, Report, run, say};

/// The seeds of `make test`. Together their decks contain every fault.
const SEEDS: [u64; 3] = [1, 2, 3];

fn short_form() -> Form {
    Form {
        time: Duration::from_secs(50),
        requests: usize::MAX,
        users: 12,
        pace: Duration::from_millis(60),
        durations: Durations {
            least: Duration::from_secs(1),
            most: Duration::from_secs(4),
            longest_silence: Duration::from_secs(8),
        },
    }
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// `LATCHKEY_CAMPAIGN_REQUESTS` in all, in runs of at most `LATCHKEY_CAMPAIGN_SECONDS`.
async fn long_form(requests: usize) -> Vec<Report> {
    let seconds = number("LATCHKEY_CAMPAIGN_SECONDS").unwrap_or(300);
    let mut reports = Vec::new();
    let mut seed = number("LATCHKEY_CAMPAIGN_SEED").unwrap_or(1) as u64;
    let seeds = number("LATCHKEY_CAMPAIGN_SEEDS").unwrap_or(usize::MAX);
    let mut sent = 0;
    while sent < requests && reports.len() < seeds {
        let form = Form {
            time: Duration::from_secs(seconds as u64),
            requests: requests - sent,
            users: 32,
            pace: Duration::from_millis(40),
            durations: Durations {
                least: Duration::from_secs(1),
                most: Duration::from_secs(10),
                longest_silence: Duration::from_secs((seconds as u64 / 3).clamp(5, 120)),
            },
        };
        let report = run(seed, form).await;
        sent += report.requests;
        say(&format!(
            "seed {seed}: {} requests, {} violations; {sent} in all",
            report.requests,
            report.violations.len()
        ));
        reports.push(report);
        keep::keep_summary(&reports);
        seed += 1;
    }
    reports
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn every_promise_is_kept_whatever_fails() {
    let reports = if let Some(requests) = number("LATCHKEY_CAMPAIGN_REQUESTS") {
        long_form(requests).await
    } else {
        // Concurrently, because most of a run is waiting.
        let runs = SEEDS.map(|seed| tokio::spawn(run(seed, short_form())));
        let mut reports = Vec::new();
        for run in runs {
            reports.push(run.await.unwrap());
        }
        reports
    };
    let summary = keep::summary(&reports);
    say(&summary);
    assert!(reports.iter().all(|report| report.violations.is_empty()), "{summary}");
}

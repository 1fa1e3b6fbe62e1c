//! The fault campaign: simulated users, administrators and OAuth clients use several replicas while their surroundings
//! misbehave, and a checker proves afterwards that every promise was kept (docs/explanation/reliability.md).
//!
//! The variables `LATCHKEY_CAMPAIGN_*` choose the long form (scripts/campaign-server).

mod admin;
mod application;
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
mod registry;
mod replica;
mod run;
mod sentinel;
mod small_disk;
mod trickle;
mod user;
mod world;

use std::time::Duration;

use faults::{Durations, Fault};
use run::{Form, Report, run, say};

/// The seeds of `make test`, and the faults that occur first in each. Together they are all faults: the first two seeds have
/// Sentinel and a small disk, and the third has a standby and a Redis for each replica.
const SHORT: [(u64, &[Fault]); 3] = [
    (
        1,
        &[
            Fault::RedisFailedOver,
            Fault::RedisFrozen,
            Fault::RedisCutInResponse,
            Fault::RedisFull,
            Fault::PostgresDiskFull,
            Fault::PostgresCrashed,
            Fault::PostgresCutAtCommit,
            Fault::ReplicaKilled,
            Fault::SmtpDropping,
            Fault::KeyFileCorrupt,
            Fault::RegistryFileCorrupt,
        ],
    ),
    (
        2,
        &[
            Fault::RedisRestartedEmpty,
            Fault::RedisRestartedWithOldData,
            Fault::PostgresRestarted,
            Fault::PostgresFrozen,
            Fault::PostgresOutOfConnections,
            Fault::PostgresCutInResponse,
            Fault::ReplicaFrozen,
            Fault::SmtpHanging,
            Fault::ClientsCutInResponse,
            Fault::TenTimesTheLoad,
        ],
    ),
    (
        3,
        &[
            Fault::RedisFlushed,
            Fault::RedisSlow,
            Fault::RedisFrozenForOne,
            Fault::PostgresFailedOver,
            Fault::PostgresFrozenForOne,
            Fault::PostgresSlow,
            Fault::ReplicationStopped,
            Fault::ReplicasRolled,
            Fault::SmtpRefusing,
            Fault::TricklingClients,
        ],
    ),
];

fn short_form(first: &'static [Fault]) -> Form {
    Form {
        first,
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
            first: &[],
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
        let runs = SHORT.iter().map(|(seed, first)| tokio::spawn(run(*seed, short_form(first))));
        let runs: Vec<_> = runs.collect();
        let mut reports = Vec::new();
        for run in runs {
            reports.push(run.await.unwrap());
        }
        reports
    };
    keep::keep_summary(&reports);
    let summary = keep::summary(&reports);
    say(&summary);
    assert!(reports.iter().all(|report| report.violations.is_empty()), "{summary}");
}

#[test]
fn the_short_form_has_every_fault() {
    let mut faults: Vec<_> = SHORT.iter().flat_map(|(_, faults)| *faults).copied().collect();
    faults.sort();
    let mut all = Fault::ALL;
    all.sort();
    assert_eq!(faults, all);
    let plans = SHORT.map(|(seed, _)| world::Plan::of(&mut random::Random::new(seed)));
    assert!(plans[0].with_sentinel && !plans[0].with_standby && plans[0].clocks_differ);
    assert!(!plans[2].with_sentinel && plans[2].with_standby);
}

//! The rotation as reported in the status: what each key waits for, and the overall progress. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use latchkey_keyset::Phase;

use super::deadlines::{MOST_KEYS, active_from, expires_at, has_stopped};
use super::ledger::{Entry, Ledger};
use super::observed::{Clock, Plan, Replica, ReplicaReport, Replicas};

/// How long a replica may take to load a set before this is reported, in seconds: a kubelet that missed the
/// annotation takes a minute and a half.
const PATIENCE: i64 = 120;
/// The interval of status queries while a replica has to load a set; no watch announces that.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The same when the replica is late.
const ASK_LATE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No key waits to sign.
    #[default]
    Steady,
    /// A key waits to become active; the reason.
    Rotating(String),
    /// A replica lags; which one, and what it has not done.
    ReplicaLags(String),
}

/// The rotation as reported in the status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RotationStatus {
    /// What the next step of each key waits for, by its id. Contains no countdown, so that it changes only with the
    /// facts.
    pub waits_for: BTreeMap<String, String>,
    pub progress: Progress,
}

/// Describes a set, and returns the time until the next step.
pub(super) fn describe(
    next: &Ledger,
    clock: Clock,
    plan: &Plan,
    replicas: Replicas<'_>,
) -> (RotationStatus, Option<Duration>) {
    let mut status = RotationStatus::default();
    let mut due: Vec<Duration> = Vec::new();
    let at = |time: i64| Duration::from_secs(u64::try_from(time - clock.earliest).unwrap_or(0).max(1));
    for entry in &next.entries {
        let since = entry.notes.since.unwrap_or(clock.latest);
        let laggard = laggard(entry, replicas);
        let (waits_for, time) = match (entry.phase, &laggard) {
            (Phase::Active, None) => wait_of_active(entry, next, plan),
            (_, Some(laggard)) => (laggard.clone(), None),
            (Phase::Published, None) => match active_from(entry, next, replicas) {
                Some(from) => (
                    format!("copies of the key set without it to expire, until {}", clock_time(from)),
                    Some(from),
                ),
                None => ("a replica that reports that it has loaded it".to_owned(), None),
            },
            (Phase::Retiring, None) => match expires_at(entry) {
                Some(expires) => (
                    format!("the last token that it signed to expire, at {}", clock_time(expires)),
                    Some(expires),
                ),
                None => ("a replica that reports that it has stopped signing with it".to_owned(), None),
            },
        };
        due.extend(time.map(at));
        if laggard.is_some() {
            let late = clock.latest - since > PATIENCE;
            due.push(if late { ASK_LATE } else { ASK_AGAIN });
            if late && status.progress == Progress::Steady {
                status.progress = Progress::ReplicaLags(format!("key {} waits for {waits_for}", entry.kid));
            }
        }
        status.waits_for.insert(entry.kid.clone(), waits_for);
    }
    if let Some(published) = next.published()
        && status.progress == Progress::Steady
    {
        let why = status.waits_for.get(&published.kid).cloned().unwrap_or_default();
        status.progress = Progress::Rotating(format!("key {} waits for {why}", published.kid));
    }
    (status, due.into_iter().min())
}

fn wait_of_active(active: &Entry, next: &Ledger, plan: &Plan) -> (String, Option<i64>) {
    if let Some(published) = next.published() {
        return (format!("key {} to take its place", published.kid), None);
    }
    if next.entries.len() >= MOST_KEYS {
        return (
            format!("one of the {} keys of the set to be removed: the set is full", next.entries.len()),
            None,
        );
    }
    let until = active.notes.since.unwrap_or_default() + plan.interval;
    (format!("its age: a successor is created at {}", clock_time(until)), Some(until))
}

/// The replica that a key waits for, and what it must do.
fn laggard(entry: &Entry, replicas: Replicas<'_>) -> Option<String> {
    let says = |replica: &Replica, what: &str| match replica.report {
        Some(_) => format!("pod {} to {what}", replica.pod),
        None => format!("pod {} to report its keys, or to terminate", replica.pod),
    };
    let stopped = |report: &ReplicaReport| has_stopped(report, &entry.kid);
    match entry.phase {
        // After a revocation; a replica that does not respond is reported elsewhere.
        Phase::Active => {
            let lacks = |report: &ReplicaReport| !report.keys.contains_key(&entry.kid);
            let behind = replicas.0.iter().find(|replica| replica.report.as_ref().is_some_and(lacks));
            behind.map(|replica| says(replica, "load it"))
        }
        Phase::Published => replicas
            .laggard(|report| report.keys.contains_key(&entry.kid))
            .map(|replica| says(replica, "load it")),
        // When all replicas are known to have stopped, one that does not respond only delays the removal.
        Phase::Retiring if entry.notes.signed_until.is_some() => None,
        Phase::Retiring => replicas.laggard(stopped).map(|replica| says(replica, "stop signing with it")),
    }
}

fn clock_time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| "some day".to_owned(), |time| time.to_string())
}

//! Errors are orderly and only while a dependency is away, responses are in time, memory is bounded.

use std::time::Duration;

use super::{Promise, Violation};
use crate::faults::{Fault, Group};
use crate::history::{Endpoint, FaultWindow, History, Op, Outcome, Record};

/// The longest that a response may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long the effects of a repaired fault may last: the documented recovery after an outage of the database.
const RECOVERY: Duration = Duration::from_secs(10);
/// The memory limit of the default pod.
const MEMORY: u64 = 256 * 1024 * 1024;

pub fn check(history: &History, found: &mut Vec<Violation>) {
    for record in &history.records {
        match record.outcome {
            Outcome::Answered { status, retry_after } => {
                check_status(history, record, (status, retry_after), found);
                check_time(history, record, found);
            }
            Outcome::Silent => check_time(history, record, found),
            Outcome::Lost | Outcome::NotSent => {
                let excuse = |fault: Fault| fault.excuses_lost_responses();
                if !is_excused(history, record, excuse) {
                    let what = format!("no response: {record:?}");
                    found.push(Violation::new(Promise::OrderlyErrors, what));
                }
            }
        }
    }
    if history.finals.peak_memory > MEMORY {
        let what = format!("a replica used {} MiB", history.finals.peak_memory / 1024 / 1024);
        found.push(Violation::new(Promise::Bounded, what));
    }
    for line in &history.finals.bad_log_lines {
        found.push(Violation::new(Promise::Bounded, format!("a log line: {line}")));
    }
}

fn check_status(
    history: &History,
    record: &Record,
    (status, retry_after): (u16, bool),
    found: &mut Vec<Violation>,
) {
    let what = match status {
        503 if !retry_after => format!("503 without Retry-After: {record:?}"),
        503 if !history.stalls.starved(record.start, record.end)
            && !is_excused(history, record, |fault| fault.excuses_unavailability(record.op)) =>
        {
            format!("503 while all dependencies were there: {record:?}")
        }
        500.. if status != 503 => format!("an error of the server: {record:?}"),
        400..500 if !is_expected(record.op, status) => format!("an unexpected refusal: {record:?}"),
        _ => return,
    };
    found.push(Violation::new(Promise::OrderlyErrors, what));
}

/// Refusals that are correct in some state.
fn is_expected(op: Op, status: u16) -> bool {
    match op {
        Op::Use(Endpoint::Introspect)
        | Op::UseClientToken { endpoint: Endpoint::Introspect, .. }
        | Op::RequestReset => false,
        Op::Register | Op::CreateGroup => status == 409,
        // Unknown, deactivated, not verified.
        Op::Login { .. } => matches!(status, 400 | 401 | 403),
        Op::VerifyEmail | Op::Reset { .. } => status == 422,
        Op::ChangePassword { .. } => matches!(status, 401 | 422),
        Op::EndSession { .. } => matches!(status, 401 | 404),
        Op::SetSuperuser { .. } | Op::SetMember { .. } | Op::ReadAudit => matches!(status, 401 | 403),
        _ => status == 401,
    }
}

fn check_time(history: &History, record: &Record, found: &mut Vec<Violation>) {
    let frozen = history.faults.iter().filter(|window| window.fault == Fault::ReplicaFrozen);
    let frozen: Duration = frozen.map(|window| overlap(record, window)).sum();
    // A starved server reaches its own deadline late.
    let is_starved = history.stalls.starved(record.start, record.end);
    let starved = if is_starved { LIMIT } else { Duration::ZERO };
    let excused = history.stalls.within(record.start, record.end) + frozen + starved;
    if record.took() > LIMIT + excused {
        let what = format!("a response after {:?} ({excused:?} excused): {record:?}", record.took());
        found.push(Violation::new(Promise::InTime, what));
    }
}

fn overlap(record: &Record, window: &FaultWindow) -> Duration {
    record.end.min(window.end).saturating_sub(record.start.max(window.start))
}

fn is_excused(history: &History, record: &Record, excuses: impl Fn(Fault) -> bool) -> bool {
    history.faults.iter().any(|window| {
        let recovery = if window.fault.group() == Group::Clients { Duration::from_secs(4) } else { RECOVERY };
        excuses(window.fault) && window.start <= record.end && record.start <= window.end + recovery
    })
}

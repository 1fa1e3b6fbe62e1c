//! Decides the next step of each key. Pure, and the only place for this decision.
//!
//! ```text
//! published --every replica has it, and verifiers' copies of the set without it have expired--> active
//! active    --its successor signs--> retiring
//! retiring  --every replica has stopped signing with it, and the last token it signed has expired--> gone
//! ```

use std::time::Duration;

use latchkey_keyset::{Algorithm, KeyNotes, Phase};

use super::deadlines::{MOST_KEYS, active_from, expires_at, has_stopped};
use super::ledger::{Entry, Ledger};
use super::observed::{Clock, Plan, Replica, Replicas, Request, Requests};
use super::rotation_status::{RotationStatus, describe};

/// The result of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The next set. If it is unchanged, nothing is written.
    pub ledger: Ledger,
    /// The rotation as reported in the status.
    pub status: RotationStatus,
    /// The time until the next step, if it depends only on time, or until the next status query.
    pub due: Option<Duration>,
}

/// Decides the next set. `fresh` generates a key for an algorithm and returns its id.
///
/// # Errors
/// When a key could not be generated.
pub(crate) fn decide_next<E>(
    ledger: &Ledger,
    now: i64,
    plan: &Plan,
    requests: &Requests,
    replicas: &[Replica],
    fresh: &mut dyn FnMut(Algorithm) -> Result<String, E>,
) -> Result<Decision, E> {
    let replicas = Replicas(replicas);
    let clock = Clock::new(now, replicas);
    let mut next = ledger.clone();
    complete_notes(&mut next, clock);
    take_cache_time(&mut next, plan.jwks_cache_time);
    let token_ttl = longest_ttl(plan, replicas);
    note_ttl(&mut next, token_ttl);
    if requests.is_new(Request::Revoke, &ledger.notes.handled) {
        next.remove(|_| true);
        let kid = fresh(plan.algorithm)?;
        next.entries.push(entry(kid, plan, Phase::Active, clock, token_ttl));
    } else {
        let wrong = |entry: &Entry| entry.phase == Phase::Published && entry.algorithm != plan.algorithm;
        next.remove(wrong);
        if next.published().is_none()
            && next.entries.len() < MOST_KEYS
            && wants_successor(&next, clock, plan, requests)
        {
            let kid = fresh(plan.algorithm)?;
            next.entries.push(entry(kid, plan, Phase::Published, clock, token_ttl));
        }
        follow_loading(&mut next, clock, replicas);
        activate(&mut next, clock, plan, replicas, token_ttl);
        follow_stopping(&mut next, clock, replicas);
        if replicas.all(|_| true) {
            next.remove(|entry| expires_at(entry).is_some_and(|expires| clock.earliest >= expires));
        }
    }
    if requests.requested.iter().any(|(name, value)| next.notes.handled.get(name) != Some(value)) {
        next.notes.handled = requests.all_handled(&next.notes.handled);
    }
    let (status, due) = describe(&next, clock, plan, replicas);
    Ok(Decision { ledger: next, status, due })
}

fn entry(kid: String, plan: &Plan, phase: Phase, clock: Clock, token_ttl: i64) -> Entry {
    let notes = KeyNotes {
        since: Some(clock.latest),
        max_age: (phase == Phase::Published).then_some(plan.jwks_cache_time),
        longest_lifetime: (phase == Phase::Active).then_some(token_ttl),
        ..KeyNotes::default()
    };
    Entry { kid, algorithm: plan.algorithm, phase, notes }
}

/// A set without notes, or with times in the future because of a wrong clock: unknown times count from now.
fn complete_notes(next: &mut Ledger, clock: Clock) {
    let possible = |time: Option<i64>| time.map(|time| time.min(clock.latest));
    for Entry { notes, .. } in &mut next.entries {
        notes.since = Some(notes.since.map_or(clock.latest, |since| since.min(clock.latest)));
        notes.loaded_since = possible(notes.loaded_since);
        // A key must not be removed early because the operator's own clock was set back for a while.
        if clock.reported {
            notes.signed_until = possible(notes.signed_until);
        }
    }
}

/// Applies a new `max-age`. Copies with a longer one remain until they expire.
fn take_cache_time(next: &mut Ledger, jwks_cache_time: u32) {
    if next.notes.max_age == Some(jwks_cache_time) {
        return;
    }
    let before = next.notes.longest_max_age.unwrap_or(0).max(next.notes.max_age());
    next.notes.longest_max_age = Some(before.max(jwks_cache_time));
    next.notes.max_age = Some(jwks_cache_time);
    for entry in &mut next.entries {
        entry.notes.max_age = None;
    }
}

/// The longest lifetime of a token signed now: replicas that are not replaced yet may have a longer one than the
/// spec.
fn longest_ttl(plan: &Plan, replicas: Replicas<'_>) -> i64 {
    let reported = replicas.0.iter().filter_map(|replica| replica.report.as_ref()?.token_ttl).max();
    plan.token_ttl.max(reported.unwrap_or(0))
}

/// The tokens of a key live for the longest lifetime configured while a replica might sign with it.
fn note_ttl(next: &mut Ledger, token_ttl: i64) {
    for Entry { phase, notes, .. } in &mut next.entries {
        if *phase != Phase::Published && notes.signed_until.is_none() {
            notes.longest_lifetime = Some(notes.longest_lifetime.unwrap_or(0).max(token_ttl));
        }
    }
}

fn wants_successor(next: &Ledger, clock: Clock, plan: &Plan, requests: &Requests) -> bool {
    requests.is_new(Request::Rotate, &next.notes.handled)
        || next.active().is_none_or(|active| {
            let age = clock.earliest - active.notes.since.unwrap_or(clock.latest);
            active.algorithm != plan.algorithm || age >= plan.interval
        })
}

/// A new replica without the key may just have served a set without it: the wait starts again.
fn follow_loading(next: &mut Ledger, clock: Clock, replicas: Replicas<'_>) {
    for Entry { kid, phase, notes, .. } in &mut next.entries {
        if *phase == Phase::Published {
            let loaded = replicas.all(|report| report.keys.contains_key(kid));
            notes.loaded_since = loaded.then_some(notes.loaded_since.unwrap_or(clock.latest));
        }
    }
}

fn activate(next: &mut Ledger, clock: Clock, plan: &Plan, replicas: Replicas<'_>, token_ttl: i64) {
    let Some(published) = next.published() else { return };
    if active_from(published, next, replicas).is_none_or(|from| clock.earliest < from) {
        return;
    }
    let (successor, same) = (published.kid.clone(), published.notes.max_age == Some(plan.jwks_cache_time));
    // No copy of a set from before this key remains; all later ones had the same `max-age`.
    if same {
        next.notes.longest_max_age = Some(plan.jwks_cache_time);
    }
    for Entry { kid, phase, notes, .. } in &mut next.entries {
        match phase {
            Phase::Active => {
                *phase = Phase::Retiring;
                notes.since = Some(clock.latest);
            }
            Phase::Published if *kid == successor => {
                *phase = Phase::Active;
                *notes = KeyNotes {
                    since: Some(clock.latest),
                    longest_lifetime: Some(token_ttl),
                    ..KeyNotes::default()
                };
            }
            Phase::Published | Phase::Retiring => {}
        }
    }
}

fn follow_stopping(next: &mut Ledger, clock: Clock, replicas: Replicas<'_>) {
    for Entry { kid, phase, notes, .. } in &mut next.entries {
        if *phase != Phase::Retiring || !replicas.all(|_| true) {
            continue;
        }
        let stopped = replicas.all(|report| has_stopped(report, kid));
        notes.signed_until = stopped.then_some(notes.signed_until.unwrap_or(clock.latest));
    }
}

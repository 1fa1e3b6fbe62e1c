//! The revocation protocol in every state that two replicas, PostgreSQL and Redis can reach
//! (docs/explanation/revocation.md). The decisions are the server's own functions; the model adds the order of the steps,
//! the faults and the time.

#![expect(clippy::print_stdout, reason = "the tests print how many states there are")]

mod canonical;
#[path = "../explorer.rs"]
mod explorer;
mod facts;
mod faults;
mod recovery;
mod state;
mod steps;
mod work;

use std::collections::HashSet;
use std::time::Duration;

use explorer::{Counterexample, Reached, explore};
use recovery::recovers;
use state::State;
use steps::{Omitted, Protocol};

const MOST_STATES: usize = 40_000_000;

/// The promise for revocations that were answered.
const ANSWERED: Protocol = Protocol {
    omitted: None,
    tick: Duration::from_millis(550),
    announces: true,
    checks_expire: false,
    sweeps: false,
    faults: 1,
    replaces: false,
    cutoff: false,
    split: false,
};

/// The promise for revocations that were committed and never answered: time passes in steps in which every lease expires but
/// that of sweeps.
const UNANSWERED: Protocol = Protocol {
    tick: Duration::from_millis(5_500),
    announces: false,
    checks_expire: true,
    sweeps: true,
    ..ANSWERED
};

/// The promise for requests that are repeated, also so late that every replica has swept since.
const REPEATED: Protocol = Protocol { announces: true, ..UNANSWERED };

/// The promise for sessions that end together with all others of their account: a cutoff in PostgreSQL and a key of the account
/// in Redis stand for their revocations until these are recorded.
const CUT_OFF: Protocol = Protocol { cutoff: true, faults: 0, ..REPEATED };
const CUT_OFF_UNANSWERED: Protocol = Protocol { cutoff: true, faults: 0, ..UNANSWERED };

/// The promise when the data of a Redis is replaced under its clients.
const REPLACED: Protocol = Protocol { checks_expire: true, replaces: true, ..ANSWERED };

/// The promise for revocations that were answered, when two replicas refill two Redis at the same time.
const SPLIT: Protocol = Protocol { split: true, ..ANSWERED };

/// What each part of the protocol is there for. The table of docs/explanation/revocation.md has the counterexamples.
const NECESSARY: [(Omitted, Protocol); 21] = [
    (Omitted::MarkerInChecks, ANSWERED),
    (Omitted::MarkerInAnnouncements, ANSWERED),
    (Omitted::MarkerBeforeCopy, ANSWERED),
    (Omitted::IdentityInEpoch, ANSWERED),
    (Omitted::ExpiryOfLease, ANSWERED),
    (Omitted::WaitOfAnnouncement, ANSWERED),
    (Omitted::WaitOfRefill, ANSWERED),
    (Omitted::LatestWithdrawal, SPLIT),
    (Omitted::CandidateEndsWithTrust, ANSWERED),
    (Omitted::CandidateBeforeCopy, ANSWERED),
    (Omitted::AnnouncementOfEarlierEnd, ANSWERED),
    (Omitted::TrustBeforeCheck, ANSWERED),
    (Omitted::SweepOfNewConnection, UNANSWERED),
    (Omitted::ExpiryOfSweep, UNANSWERED),
    (Omitted::CompletenessOfSweep, UNANSWERED),
    (Omitted::ExpiryOfVerification, REPLACED),
    (Omitted::AnnouncementOfRecentEnds, REPEATED),
    (Omitted::CutoffsInSweeps, CUT_OFF_UNANSWERED),
    (Omitted::CutoffsBeforeRevocations, CUT_OFF_UNANSWERED),
    (Omitted::RevocationBeforeRemoval, CUT_OFF_UNANSWERED),
    (Omitted::LifetimeOfAccountKey, CUT_OFF_UNANSWERED),
];

fn run(protocol: &Protocol) -> Result<Reached<State>, Counterexample> {
    let result = explore(protocol, MOST_STATES);
    match &result {
        Ok(reached) => println!(
            "{:?}, {} faults: {} states, {} transitions",
            protocol.omitted,
            protocol.faults,
            reached.states.len(),
            reached.transitions
        ),
        Err(found) => println!(
            "{:?}: {} is broken by state {}:\n{}",
            protocol.omitted, found.promise, found.explored, found.steps
        ),
    }
    result
}

/// More faults take minutes: `LATCHKEY_MODEL_FAULTS=2`.
fn faults() -> u8 {
    std::env::var("LATCHKEY_MODEL_FAULTS").map_or(1, |faults| faults.parse().expect("a small number"))
}

#[test]
fn no_replica_accepts_a_token_after_the_response_and_trust_returns() {
    let protocol = Protocol { faults: faults(), ..ANSWERED };
    let reached = run(&protocol).expect("the promise is kept");
    let mut known = HashSet::new();
    for state in &reached.states {
        assert!(recovers(&protocol, state, &mut known), "trust does not return from {state:?}");
    }
}

#[test]
fn two_refills_at_the_same_time_keep_the_promise() {
    run(&SPLIT).expect("the promise is kept");
}

#[test]
fn a_revocation_that_was_never_announced_takes_effect() {
    run(&UNANSWERED).expect("the promise is kept");
}

#[test]
fn a_request_that_is_repeated_late_is_answered_only_when_every_replica_knows() {
    run(&REPEATED).expect("the promise is kept");
}

/// Half a minute, so only with more faults in the others.
#[test]
fn a_cutoff_keeps_the_promise() {
    if faults() > 1 {
        run(&CUT_OFF).expect("the promise is kept");
    }
}

#[test]
fn a_cutoff_that_was_never_announced_takes_effect() {
    run(&CUT_OFF_UNANSWERED).expect("the promise is kept");
}

#[test]
fn replaced_data_hides_a_revocation_no_longer_than_a_lease() {
    run(&REPLACED).expect("the promise is kept");
}

#[test]
fn every_part_of_the_protocol_is_necessary() {
    for (part, protocol) in NECESSARY {
        let broken = run(&Protocol { omitted: Some(part), ..protocol });
        assert!(broken.is_err(), "{part:?} can be omitted");
    }
}

#[test]
fn without_the_candidate_a_stream_of_logouts_keeps_redis_from_being_trusted() {
    let protocol = Protocol { omitted: Some(Omitted::CandidateInAnnouncements), faults: 0, ..ANSWERED };
    let reached = run(&protocol).expect("the promise is kept");
    let mut known = HashSet::new();
    assert!(reached.states.iter().any(|state| !recovers(&protocol, state, &mut known)));
}

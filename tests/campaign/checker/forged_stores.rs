//! Forged histories with lost writes, errors, late responses and lost or repeated mail.

use uuid::Uuid;

use super::Promise;
use super::forged::{ALICE, Forged, OTHER, SESSION, seconds};
use crate::canary::Stalls;
use crate::faults::Fault;
use crate::history::{Endpoint, Op, Outcome};

const ME: Op = Op::Use(Endpoint::Me);
const CHANGE: Op = Op::ChangePassword { from: 1, to: 2, keep_others: true };

#[test]
fn a_lost_password_is_found() {
    let mut forged = Forged::new();
    forged.by(2.0, SESSION, CHANGE, 200);
    forged.mail("password_changed", 2, 2.0);
    forged.add(20.0, Op::Login { password: 1 }, 401);
    assert_eq!(forged.broken(), []);
    // The new one is refused.
    forged.add(21.0, Op::Login { password: 2 }, 401);
    assert_eq!(forged.broken(), [Promise::AcknowledgedIsKept]);
    // The old one is accepted.
    let mut forged = Forged::new();
    forged.by(2.0, SESSION, CHANGE, 200);
    forged.mail("password_changed", 2, 2.0);
    forged.log_in(21.0, Uuid::from_u128(5), 1);
    forged.0.finals.live_sessions.insert(Uuid::from_u128(5));
    assert_eq!(forged.broken(), [Promise::AcknowledgedIsKept]);
}

#[test]
fn a_password_change_without_a_response_makes_either_password_right() {
    for password in [1, 2] {
        let mut forged = Forged::new();
        forged.fault(Fault::PostgresCutAtCommit, 1.0, 3.0);
        forged.by(2.0, SESSION, CHANGE, 503);
        forged.add(20.0, Op::Login { password }, 401);
        assert_eq!(forged.broken(), []);
    }
}

#[test]
fn a_login_of_a_deactivated_account_and_a_refused_login_of_an_active_one_are_found() {
    let mut forged = Forged::new();
    forged.by(2.0, OTHER, Op::SetActive { active: false }, 200);
    forged.0.finals.live_sessions.clear();
    forged.0.finals.accounts.get_mut(&ALICE).unwrap().is_active = false;
    forged.add(15.0, Op::Login { password: 1 }, 401);
    assert_eq!(forged.broken(), []);
    forged.log_in(16.0, Uuid::from_u128(5), 1);
    forged.0.finals.live_sessions.insert(Uuid::from_u128(5));
    assert_eq!(forged.broken(), [Promise::RevokedIsRefused]);
    let mut forged = Forged::new();
    forged.add(16.0, Op::Login { password: 1 }, 401);
    assert_eq!(forged.broken(), [Promise::AcknowledgedIsKept]);
}

#[test]
fn a_lost_account_session_state_or_audit_event_is_found() {
    let broken = |change: fn(&mut Forged)| {
        let mut forged = Forged::new();
        forged.by(2.0, OTHER, Op::SetActive { active: true }, 200);
        assert_eq!(forged.broken(), []);
        change(&mut forged);
        forged.broken()
    };
    let lost = [Promise::AcknowledgedIsKept];
    assert_eq!(broken(|forged| forged.0.finals.accounts.clear()), lost);
    assert_eq!(broken(|forged| forged.0.finals.accounts.get_mut(&ALICE).unwrap().is_active = false), lost);
    assert_eq!(broken(|forged| forged.0.finals.accounts.get_mut(&ALICE).unwrap().is_verified = false), lost);
    assert_eq!(broken(|forged| forged.0.finals.live_sessions.clear()), lost);
    assert_eq!(broken(|forged| assert!(forged.0.finals.audited.remove(&3))), lost);
    // A session that was ended and is still active in the database.
    assert_eq!(broken(|forged| drop(forged.by(5.0, SESSION, Op::Logout, 200).clone())), lost);
}

#[test]
fn an_error_without_an_excuse_is_found() {
    let broken = |status, fault: Option<Fault>| {
        let mut forged = Forged::new();
        if let Some(fault) = fault {
            forged.fault(fault, 4.0, 6.0);
        }
        forged.by(5.0, SESSION, ME, status);
        forged.broken()
    };
    let found = [Promise::OrderlyErrors];
    assert_eq!(broken(503, None), found);
    assert_eq!(broken(503, Some(Fault::PostgresFrozen)), []);
    assert_eq!(broken(503, Some(Fault::RedisFrozen)), found);
    assert_eq!(broken(503, Some(Fault::KeyFileCorrupt)), found);
    assert_eq!(broken(503, Some(Fault::TenTimesTheLoad)), found);
    assert_eq!(broken(500, Some(Fault::PostgresFrozen)), found);
    assert_eq!(broken(429, None), found);
    let mut forged = Forged::new();
    forged.fault(Fault::PostgresFrozen, 4.0, 6.0);
    forged.by(5.0, SESSION, ME, 503).outcome = Outcome::Answered { status: 503, retry_after: false };
    assert_eq!(forged.broken(), found);
    // The machine of the test had no time for the servers.
    let mut forged = Forged::new();
    forged.by(5.0, SESSION, ME, 503);
    forged.0.stalls.starved.push(seconds(4.0));
    assert_eq!(forged.broken(), []);
    // Long after the repair.
    let mut forged = Forged::new();
    forged.fault(Fault::PostgresFrozen, 4.0, 6.0);
    forged.by(17.0, SESSION, ME, 503);
    assert_eq!(forged.broken(), found);
}

#[test]
fn a_missing_response_is_found() {
    for (outcome, fault, broken) in [
        (Outcome::Lost, None, vec![Promise::OrderlyErrors]),
        (Outcome::Lost, Some(Fault::PostgresFrozen), vec![Promise::OrderlyErrors]),
        (Outcome::Lost, Some(Fault::ReplicaKilled), vec![]),
        (Outcome::NotSent, None, vec![Promise::OrderlyErrors]),
    ] {
        let mut forged = Forged::new();
        if let Some(fault) = fault {
            forged.fault(fault, 4.0, 6.0);
        }
        let record = forged.by(5.0, SESSION, ME, 0);
        record.outcome = outcome;
        assert_eq!(forged.broken(), broken, "{outcome:?} {fault:?}");
    }
}

fn stalled(length: f64) -> Stalls {
    Stalls { pauses: vec![(seconds(9.0), seconds(length))], ..Stalls::default() }
}

#[test]
fn a_late_response_is_found_unless_the_machine_stalled() {
    let mut forged = Forged::new();
    forged.by(5.0, SESSION, ME, 200).end = seconds(10.5);
    assert_eq!(forged.broken(), [Promise::InTime]);
    forged.0.stalls = stalled(0.4);
    assert_eq!(forged.broken(), [Promise::InTime]);
    forged.0.stalls = stalled(0.6);
    assert_eq!(forged.broken(), []);
    let record = forged.by(20.0, SESSION, ME, 0);
    record.end = seconds(35.0);
    record.outcome = Outcome::Silent;
    assert_eq!(forged.broken(), [Promise::InTime]);
}

#[test]
fn a_lost_a_superfluous_and_a_repeated_mail_are_found() {
    let mut forged = Forged::new();
    forged.0.finals.mails.clear();
    assert_eq!(forged.broken(), [Promise::MailOnce]);
    let mut forged = Forged::new();
    forged.mail("email_verification", 2, 1.0);
    assert_eq!(forged.broken(), [Promise::MailOnce]);
    let mut forged = Forged::new();
    forged.mail("email_verification", 1, 3.0);
    assert_eq!(forged.broken(), [Promise::MailOnce]);
    forged.fault(Fault::SmtpDropping, 0.1, 2.0);
    assert_eq!(forged.broken(), []);
    // One that is still to be sent is not lost.
    let mut forged = Forged::new();
    forged.0.finals.waiting = std::mem::take(&mut forged.0.finals.mails);
    assert_eq!(forged.broken(), []);
}

#[test]
fn memory_and_log_lines_are_checked() {
    let mut forged = Forged::new();
    forged.0.finals.peak_memory = 300 << 20;
    assert_eq!(forged.broken(), [Promise::Bounded]);
    let mut forged = Forged::new();
    forged.0.finals.bad_log_lines.push("thread 'x' panicked".to_owned());
    assert_eq!(forged.broken(), [Promise::Bounded]);
}

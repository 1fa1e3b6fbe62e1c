//! Forged histories of requests: the checker accepts a correct one and finds each broken promise.

use std::time::Duration;

use uuid::Uuid;

use super::{Promise, check};
use crate::faults::Fault;
use crate::history::{
    Account, Endpoint, FaultWindow, FinalAccount, Grant, History, Moment, Op, Outcome, Record, SentMail,
};
use crate::user::email;

pub const ALICE: Account = 1;
pub const SESSION: Uuid = Uuid::from_u128(1);
pub const OTHER: Uuid = Uuid::from_u128(2);
const FIRST: Uuid = Uuid::from_u128(11);
const SECOND: Uuid = Uuid::from_u128(12);
const THIRD: Uuid = Uuid::from_u128(13);

pub fn seconds(seconds: f64) -> Moment {
    Duration::from_secs_f64(seconds)
}

/// A history under construction.
pub struct Forged(pub History);

impl Forged {
    /// Alice registered, verified her address and logged in twice.
    pub fn new() -> Self {
        let mut forged = Self(History::default());
        forged.add(0.0, Op::Register, 202);
        forged.add(0.5, Op::VerifyEmail, 200);
        forged.log_in(1.0, SESSION, 1);
        forged.log_in(1.5, OTHER, 1);
        forged.0.finals.accounts.insert(
            ALICE,
            FinalAccount { is_active: true, is_superuser: false, is_verified: true, is_auditor: false },
        );
        forged.0.finals.live_sessions.extend([SESSION, OTHER]);
        forged.mail("email_verification", 1, 0.2);
        forged
    }

    /// A request that takes 0.1 s and is audited if it succeeds.
    pub fn add(&mut self, start: f64, op: Op, status: u16) -> &mut Record {
        let id = self.0.records.len() as u64 + 1;
        let accepted = match status {
            200..=299 => Some(true),
            401 => Some(false),
            _ => None,
        };
        if (200..300).contains(&status) {
            self.0.finals.audited.insert(id);
        }
        self.0.records.push(Record {
            id,
            op,
            account: ALICE,
            session: None,
            replica: 0,
            start: seconds(start),
            end: seconds(start + 0.1),
            outcome: Outcome::Answered { status, retry_after: status == 503 },
            accepted,
            grant: None,
        });
        self.0.records.last_mut().unwrap()
    }

    pub fn by(&mut self, start: f64, session: Uuid, op: Op, status: u16) -> &mut Record {
        let record = self.add(start, op, status);
        record.session = Some(session);
        record
    }

    pub fn log_in(&mut self, start: f64, session: Uuid, password: u32) -> &mut Record {
        let record = self.by(start, session, Op::Login { password }, 200);
        record.grant = Some(Grant { session, refresh: FIRST });
        record
    }

    fn refresh(&mut self, start: f64, token: Uuid, next: Option<Uuid>) -> &mut Record {
        let status = if next.is_some() { 200 } else { 401 };
        let record = self.by(start, SESSION, Op::Refresh { token }, status);
        record.grant = next.map(|refresh| Grant { session: SESSION, refresh });
        record
    }

    pub fn mail(&mut self, kind: &str, number: u32, at: f64) {
        self.0.finals.mails.push(SentMail {
            at: seconds(at),
            message: format!("latchkey-{kind}-{number}"),
            recipient: email(ALICE),
            kind: kind.to_owned(),
        });
    }

    pub fn fault(&mut self, fault: Fault, start: f64, end: f64) {
        self.0.faults.push(FaultWindow { fault, start: seconds(start), end: seconds(end) });
    }

    pub fn broken(&self) -> Vec<Promise> {
        let mut broken: Vec<_> = check(&self.0).into_iter().map(|violation| violation.promise).collect();
        broken.sort();
        broken.dedup();
        broken
    }
}

const ME: Op = Op::Use(Endpoint::Me);

#[test]
fn a_correct_history_breaks_nothing() {
    let mut forged = Forged::new();
    forged.by(2.0, SESSION, ME, 200);
    forged.refresh(3.0, FIRST, Some(SECOND));
    forged.refresh(4.0, FIRST, Some(SECOND));
    forged.by(5.0, SESSION, Op::Logout, 200);
    forged.0.finals.live_sessions.remove(&SESSION);
    forged.by(6.0, SESSION, ME, 401);
    assert_eq!(forged.broken(), []);
}

#[test]
fn a_token_that_is_accepted_after_its_revocation_is_found_whatever_revoked_it() {
    let change = Op::ChangePassword { from: 1, to: 2, keep_others: false };
    for op in [
        Op::Logout,
        Op::LogoutAll,
        Op::EndSession { target: SESSION },
        change,
        Op::Reset { to: 2 },
        Op::SetActive { active: false },
        Op::EndSessions,
    ] {
        let mut forged = Forged::new();
        let by = if op == Op::Logout { SESSION } else { OTHER };
        forged.by(5.0, by, op, 200);
        // Sent before the response arrived: either answer is correct.
        forged.by(5.05, SESSION, ME, 200);
        assert!(!forged.broken().contains(&Promise::RevokedIsRefused), "{op:?}");
        forged.by(5.2, SESSION, ME, 200);
        assert!(forged.broken().contains(&Promise::RevokedIsRefused), "{op:?}");
    }
}

#[test]
fn a_revocation_without_a_response_proves_nothing() {
    let mut forged = Forged::new();
    forged.fault(Fault::PostgresCutAtCommit, 4.0, 6.0);
    forged.by(5.0, SESSION, Op::Logout, 503);
    forged.by(6.0, SESSION, ME, 200);
    assert_eq!(forged.broken(), []);
    forged.by(7.0, SESSION, ME, 401);
    forged.0.finals.live_sessions.remove(&SESSION);
    assert_eq!(forged.broken(), []);
}

#[test]
fn a_password_change_covers_neither_its_own_session_nor_later_ones() {
    let mut forged = Forged::new();
    forged.by(5.0, SESSION, Op::ChangePassword { from: 1, to: 2, keep_others: false }, 200);
    forged.mail("password_changed", 2, 5.0);
    forged.by(6.0, SESSION, ME, 200);
    forged.log_in(7.0, Uuid::from_u128(3), 2);
    forged.by(8.0, Uuid::from_u128(3), ME, 200);
    forged.0.finals.live_sessions.extend([Uuid::from_u128(3)]);
    forged.0.finals.live_sessions.remove(&OTHER);
    assert_eq!(forged.broken(), []);
}

#[test]
fn an_audit_log_read_after_the_demotion_is_found() {
    let mut forged = Forged::new();
    forged.by(2.0, OTHER, Op::SetSuperuser { superuser: true }, 200);
    forged.by(3.0, OTHER, Op::SetSuperuser { superuser: false }, 200);
    forged.by(4.0, SESSION, Op::ReadAudit, 403).accepted = None;
    assert_eq!(forged.broken(), []);
    forged.by(5.0, SESSION, Op::ReadAudit, 200);
    assert_eq!(forged.broken(), [Promise::RevokedIsRefused]);
}

#[test]
fn an_audit_log_read_after_the_membership_ended_is_found() {
    let mut forged = Forged::new();
    forged.by(2.0, OTHER, Op::SetMember { member: true }, 201);
    forged.by(3.0, SESSION, Op::ReadAudit, 200);
    forged.by(4.0, OTHER, Op::SetMember { member: false }, 204);
    assert_eq!(forged.broken(), []);
    let mut again = Forged(History { records: forged.0.records.clone(), ..Forged::new().0 });
    again.0.finals.audited.extend(1..9);
    again.by(5.0, SESSION, Op::ReadAudit, 200);
    assert_eq!(again.broken(), [Promise::RevokedIsRefused]);
    // As a superuser it may.
    forged.by(5.0, OTHER, Op::SetSuperuser { superuser: true }, 200);
    forged.0.finals.accounts.get_mut(&ALICE).unwrap().is_superuser = true;
    forged.by(6.0, SESSION, Op::ReadAudit, 200);
    assert_eq!(forged.broken(), []);
}

#[test]
fn a_refresh_token_that_works_again_after_the_grace_period_is_found() {
    let mut forged = Forged::new();
    forged.refresh(3.0, FIRST, Some(SECOND));
    forged.refresh(13.0, FIRST, Some(SECOND));
    assert_eq!(forged.broken(), []);
    forged.refresh(13.5, FIRST, Some(SECOND));
    assert_eq!(forged.broken(), [Promise::RefreshOnce]);
}

#[test]
fn two_successors_of_one_refresh_token_are_found() {
    let mut forged = Forged::new();
    forged.refresh(3.0, FIRST, Some(SECOND));
    forged.refresh(4.0, SECOND, Some(THIRD));
    // The current token of the session.
    forged.refresh(5.0, FIRST, Some(THIRD));
    assert_eq!(forged.broken(), []);
    let mut forged = Forged::new();
    forged.refresh(3.0, FIRST, Some(SECOND));
    forged.refresh(3.0, FIRST, Some(THIRD));
    assert_eq!(forged.broken(), [Promise::RefreshOnce]);
}

#[test]
fn theft_ends_the_session() {
    let mut forged = Forged::new();
    forged.refresh(3.0, FIRST, Some(SECOND));
    forged.refresh(20.0, FIRST, None);
    forged.by(21.0, SESSION, ME, 401);
    forged.0.finals.live_sessions.remove(&SESSION);
    assert_eq!(forged.broken(), []);
    forged.by(22.0, SESSION, ME, 200);
    assert_eq!(forged.broken(), [Promise::RevokedIsRefused]);
}

#[test]
fn a_lost_session_is_found() {
    let mut forged = Forged::new();
    forged.by(5.0, SESSION, ME, 401);
    assert_eq!(forged.broken(), [Promise::SessionsLast]);
    // A refresh token that was never exchanged is no theft.
    let mut forged = Forged::new();
    forged.refresh(5.0, FIRST, None);
    assert_eq!(forged.broken(), [Promise::SessionsLast]);
    // One whose exchange had no response may be, but only after the grace period.
    for (again, broken) in [(9.0, vec![Promise::SessionsLast]), (16.0, vec![])] {
        let mut forged = Forged::new();
        forged.fault(Fault::PostgresCutAtCommit, 4.0, 6.0);
        forged.refresh(5.0, FIRST, None).outcome = Outcome::Answered { status: 503, retry_after: true };
        forged.0.records.last_mut().unwrap().accepted = None;
        forged.refresh(again, FIRST, None);
        assert_eq!(forged.broken(), broken, "{again}");
        assert_eq!(super::lost_to_grace_period(&forged.0), usize::from(again > 15.0));
    }
}

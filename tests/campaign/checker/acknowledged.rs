//! No acknowledged write is missing: passwords and the state of accounts as logins see them, and accounts, sessions and audit
//! events as the database has them at the end.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::index::Index;
use super::{Promise, Violation};
use crate::history::{Account, History, Op, Record};

/// A commit that a fault delays takes effect at most so long after the client has given up.
const LATE: Duration = Duration::from_secs(10);

/// The writes to each account, in the order of their starts.
type Writes<'a> = HashMap<Account, Vec<&'a Record>>;

pub fn check(history: &History, index: &Index, found: &mut Vec<Violation>) {
    let mut writes = Writes::new();
    for record in history.records.iter().filter(|record| record.may_have_happened() && is_write(record.op)) {
        writes.entry(record.account).or_default().push(record);
    }
    for writes in writes.values_mut() {
        writes.sort_by_key(|record| record.start);
    }
    for login in history.records.iter().filter(|record| matches!(record.op, Op::Login { .. })) {
        if let Some(writes) = writes.get(&login.account) {
            check_login(login, writes, found);
        }
    }
    check_accounts(history, &writes, found);
    check_sessions(history, index, found);
    check_audit(history, index, found);
}

fn is_write(op: Op) -> bool {
    matches!(
        op,
        Op::Register
            | Op::VerifyEmail
            | Op::ChangePassword { .. }
            | Op::Reset { .. }
            | Op::SetActive { .. }
            | Op::SetSuperuser { .. }
            | Op::SetMember { .. }
    )
}

/// The version of the password that an operation sets.
fn new_version(op: Op) -> Option<u32> {
    match op {
        Op::Register => Some(1),
        Op::ChangePassword { to, .. } | Op::Reset { to } => Some(to),
        _ => None,
    }
}

/// When the write can no longer take effect.
fn settled(write: &Record) -> Duration {
    if write.is_acknowledged() { write.end } else { write.end + LATE }
}

/// The last acknowledged one of `writes` before `by`, unless another one may have taken effect after it.
fn last_certain<'a>(writes: &[&'a Record], by: &Record) -> Option<&'a Record> {
    let before = writes.iter().filter(|write| write.is_acknowledged() && write.end < by.start);
    let last = before.max_by_key(|write| write.end)?;
    let is_certain =
        writes.iter().all(|other| other.id == last.id || settled(other) < last.start || other.start > by.end);
    is_certain.then_some(last)
}

fn check_login(login: &Record, writes: &[&Record], found: &mut Vec<Violation>) {
    let Op::Login { password } = login.op else { return };
    let of = |is: fn(&Op) -> bool| -> Vec<&Record> {
        writes.iter().copied().filter(|write| is(&write.op)).collect()
    };
    let passwords = last_certain(&of(|op| new_version(*op).is_some()), login);
    let states = of(|op| matches!(op, Op::SetActive { .. }));
    let state = last_certain(&states, login).map(|write| write.op);
    match login.accepted {
        Some(true) => {
            if let Some(write) = passwords.filter(|write| new_version(write.op) != Some(password)) {
                found.push(Violation::new(
                    Promise::AcknowledgedIsKept,
                    format!("an old password was accepted: {login:?} after {write:?}"),
                ));
            }
            if state == Some(Op::SetActive { active: false }) {
                found.push(Violation::new(
                    Promise::RevokedIsRefused,
                    format!("a deactivated account logged in: {login:?}"),
                ));
            }
        }
        Some(false) => {
            let is_active = states.is_empty() || state == Some(Op::SetActive { active: true });
            let is_usable = writes.iter().any(|write| {
                let vouched = write.op == Op::Register && is_created_by_administrator(write);
                write.is_acknowledged() && write.end < login.start && (vouched || write.op == Op::VerifyEmail)
            });
            let is_right = passwords.is_some_and(|write| new_version(write.op) == Some(password));
            if is_active && is_usable && is_right {
                found.push(Violation::new(
                    Promise::AcknowledgedIsKept,
                    format!("the right password was refused: {login:?} after {passwords:?}"),
                ));
            }
        }
        None => {}
    }
}

fn is_created_by_administrator(record: &Record) -> bool {
    record.session.is_some()
}

fn check_accounts(history: &History, writes: &Writes, found: &mut Vec<Violation>) {
    let mut report = |what: String| found.push(Violation::new(Promise::AcknowledgedIsKept, what));
    for (account, writes) in writes {
        let Some(last) = writes.iter().max_by_key(|write| write.end) else { continue };
        // A record of a later time, so that every write is before it.
        let afterwards = Record { start: last.end + LATE * 2, end: last.end + LATE * 2, ..(*last).clone() };
        let is_acknowledged = |op| writes.iter().any(|write| write.op == op && write.is_acknowledged());
        let Some(state) = history.finals.accounts.get(account) else {
            if is_acknowledged(Op::Register) {
                report(format!("account {account} was registered and does not exist"));
            }
            continue;
        };
        if is_acknowledged(Op::VerifyEmail) && !state.is_verified {
            report(format!("account {account} was verified and is not"));
        }
        let of = |is: fn(&Op) -> bool| -> Vec<&Record> {
            writes.iter().copied().filter(|write| is(&write.op)).collect()
        };
        let active = last_certain(&of(|op| matches!(op, Op::SetActive { .. })), &afterwards);
        if let Some(write) = active.filter(|write| write.op != (Op::SetActive { active: state.is_active })) {
            report(format!("account {account} is {state:?} after {write:?}"));
        }
        let superuser = last_certain(&of(|op| matches!(op, Op::SetSuperuser { .. })), &afterwards);
        let is_superuser = Op::SetSuperuser { superuser: state.is_superuser };
        if let Some(write) = superuser.filter(|write| write.op != is_superuser) {
            report(format!("account {account} is {state:?} after {write:?}"));
        }
        let member = last_certain(&of(|op| matches!(op, Op::SetMember { .. })), &afterwards);
        let is_member = Op::SetMember { member: state.is_auditor };
        if let Some(write) = member.filter(|write| write.op != is_member) {
            report(format!("account {account} is {state:?} after {write:?}"));
        }
    }
}

fn check_sessions(history: &History, index: &Index, found: &mut Vec<Violation>) {
    for (session, (_, by)) in index.revoked(history) {
        if history.finals.live_sessions.contains(&session) {
            let what = format!("session {session} is active in the database after {by:?}");
            found.push(Violation::new(Promise::AcknowledgedIsKept, what));
        }
    }
    for (session, began) in &index.began {
        let is_untouched = !index
            .enders(began.account)
            .iter()
            .any(|ender| ender.may_have_happened() && index.is_aimed_at(ender, *session));
        let was_exchanged = history
            .records
            .iter()
            .any(|record| record.session == Some(*session) && matches!(record.op, Op::Refresh { .. }));
        // An exchange may have been a theft, which the check of sessions decides.
        if is_untouched && !was_exchanged && !history.finals.live_sessions.contains(session) {
            let what = format!("the session of {began:?} is not in the database");
            found.push(Violation::new(Promise::AcknowledgedIsKept, what));
        }
    }
}

/// Every acknowledged write has an audit event with the id of its request, or of an earlier attempt without a response.
fn check_audit(history: &History, index: &Index, found: &mut Vec<Violation>) {
    let audited = |record: &Record| history.finals.audited.contains(&record.id);
    let mut attempts: HashMap<(Account, String), Vec<&Record>> = HashMap::new();
    for record in &history.records {
        let unclear = record.may_have_happened() && !record.is_acknowledged();
        if is_audited(record.op) && unclear {
            attempts.entry((record.account, purpose(record.op))).or_default().push(record);
        }
    }
    let changes = effective_changes(history);
    let is_due = |record: &Record| is_audited(record.op) || changes.contains(&record.id);
    for record in history.records.iter().filter(|record| record.is_acknowledged() && is_due(record)) {
        let key = (record.account, purpose(record.op));
        let earlier = attempts.get(&key).into_iter().flatten();
        let was_attempted = earlier.into_iter().any(|attempt| attempt.start < record.end && audited(attempt));
        if !audited(record) && !was_attempted && !was_ended_by_another(index, record) {
            let what = format!("no audit event: {record:?}");
            found.push(Violation::new(Promise::AcknowledgedIsKept, what));
        }
    }
}

/// Equal for two requests that are to do the same.
fn purpose(op: Op) -> String {
    match op {
        Op::RevokeClientToken { token, .. } => format!("revoke {token}"),
        op => format!("{op:?}"),
    }
}

/// Whether the sessions that the request was to end may have been ended by a concurrent one, whose event that is.
fn was_ended_by_another(index: &Index, record: &Record) -> bool {
    let target = match record.op {
        Op::EndSession { target } => Some(target),
        Op::Logout | Op::LogoutAll => record.session,
        _ => None,
    };
    target.is_some_and(|target| {
        index.enders(record.account).iter().any(|other| {
            other.id != record.id
                && other.may_have_happened()
                && other.start < record.end
                && index.is_aimed_at(other, target)
        })
    })
}

/// The acknowledged changes of a state that certainly was another one before.
fn effective_changes(history: &History) -> HashSet<u64> {
    let mut changes: HashMap<(Account, bool), Vec<&Record>> = HashMap::new();
    for record in history.records.iter().filter(|record| record.may_have_happened()) {
        let key = match record.op {
            Op::SetActive { .. } => (record.account, true),
            Op::SetSuperuser { .. } => (record.account, false),
            _ => continue,
        };
        changes.entry(key).or_default().push(record);
    }
    let mut effective = HashSet::new();
    for changes in changes.values() {
        for record in changes.iter().filter(|record| record.is_acknowledged()) {
            let others: Vec<_> = changes.iter().copied().filter(|other| other.id != record.id).collect();
            if last_certain(&others, record).is_some_and(|before| before.op != record.op) {
                effective.insert(record.id);
            }
        }
    }
    effective
}

/// Whether every success of the operation is audited. A change of a state is audited only if the state was another one.
fn is_audited(op: Op) -> bool {
    !matches!(
        op,
        Op::Use(_)
            | Op::Refresh { .. }
            | Op::ReadAudit
            | Op::SetActive { .. }
            | Op::SetSuperuser { .. }
            | Op::EndSessions
            | Op::SetMember { .. }
            | Op::ClientToken { .. }
            | Op::UseClientToken { .. }
    )
}

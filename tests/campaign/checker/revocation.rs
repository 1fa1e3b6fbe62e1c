//! No replica accepts a token after the response that revoked it, and no former superuser administers.

use std::collections::HashMap;

use super::index::Index;
use super::{Promise, Violation};
use crate::history::{Account, History, Op, Record};

pub fn check(history: &History, index: &Index, found: &mut Vec<Violation>) {
    let revoked = index.revoked(history);
    for record in &history.records {
        let is_login = matches!(record.op, Op::Login { .. });
        let Some(session) = record.session.filter(|_| record.accepted == Some(true) && !is_login) else {
            continue;
        };
        if let Some((at, by)) = revoked.get(&session)
            && record.start > *at
        {
            found.push(Violation::new(
                Promise::RevokedIsRefused,
                format!(
                    "accepted {:?} after its session was ended: {record:?} by {by:?}",
                    record.start.saturating_sub(*at)
                ),
            ));
        }
    }
    check_privileges(history, found);
}

/// Reads of the audit log by accounts that were demoted, and are not in the group of its readers.
fn check_privileges(history: &History, found: &mut Vec<Violation>) {
    let mut changes: HashMap<Account, Vec<&Record>> = HashMap::new();
    for record in &history.records {
        if matches!(record.op, Op::SetSuperuser { .. } | Op::SetMember { .. }) {
            changes.entry(record.account).or_default().push(record);
        }
    }
    let reads =
        history.records.iter().filter(|record| record.op == Op::ReadAudit && record.is_acknowledged());
    for read in reads {
        let Some(changes) = changes.get(&read.account) else { continue };
        let superuser = |superuser| Op::SetSuperuser { superuser };
        let member = |member| Op::SetMember { member };
        let may_read = may_hold(changes, (superuser(true), superuser(false)), read)
            || may_hold(changes, (member(true), member(false)), read);
        if !may_read {
            found.push(Violation::new(
                Promise::RevokedIsRefused,
                format!("an audit log read without the privilege: {read:?} after {changes:?}"),
            ));
        }
    }
}

/// Whether a privilege may have been granted, and not withdrawn again, when the log was read.
fn may_hold(changes: &[&Record], (granted, withdrawn): (Op, Op), read: &Record) -> bool {
    let last = changes
        .iter()
        .filter(|change| change.op == withdrawn && change.is_acknowledged() && change.end < read.start)
        .max_by_key(|change| change.end);
    changes.iter().any(|change| {
        change.op == granted
            && change.may_have_happened()
            && last.is_none_or(|withdrawal| change.end > withdrawal.start)
            && change.start < read.end
    })
}

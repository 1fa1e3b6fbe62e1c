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

/// Reads of the audit log by accounts that were demoted.
fn check_privileges(history: &History, found: &mut Vec<Violation>) {
    let mut changes: HashMap<Account, Vec<&Record>> = HashMap::new();
    for record in &history.records {
        if matches!(record.op, Op::SetSuperuser { .. }) {
            changes.entry(record.account).or_default().push(record);
        }
    }
    let reads =
        history.records.iter().filter(|record| record.op == Op::ReadAudit && record.is_acknowledged());
    for read in reads {
        let Some(changes) = changes.get(&read.account) else { continue };
        let demoted = changes
            .iter()
            .filter(|change| change.op == Op::SetSuperuser { superuser: false } && change.is_acknowledged())
            .filter(|change| change.end < read.start)
            .max_by_key(|change| change.end);
        let Some(demoted) = demoted else { continue };
        let may_be_promoted = changes.iter().any(|change| {
            change.op == Op::SetSuperuser { superuser: true }
                && change.may_have_happened()
                && change.end > demoted.start
                && change.start < read.end
        });
        if !may_be_promoted {
            found.push(Violation::new(
                Promise::RevokedIsRefused,
                format!("an audit log read after the demotion: {read:?} after {demoted:?}"),
            ));
        }
    }
}

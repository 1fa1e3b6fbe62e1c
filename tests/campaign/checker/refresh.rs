//! A refresh token works once, and again only within the grace period, when it leads to the same next token.

use std::time::Duration;

use super::index::{GRACE, Index};
use super::{Promise, Violation};
use crate::history::{History, Record};

/// The clocks of the database and of the campaign run at slightly different rates.
const MARGIN: Duration = Duration::from_millis(50);

pub fn check(_: &History, index: &Index, found: &mut Vec<Violation>) {
    for (token, exchanges) in &index.exchanges {
        let granted: Vec<&Record> = exchanges.iter().copied().filter(|r| r.accepted == Some(true)).collect();
        let Some(first) = granted.iter().min_by_key(|record| record.end) else { continue };
        for record in &granted {
            if record.start > first.end + GRACE + MARGIN {
                found.push(Violation::new(
                    Promise::RefreshOnce,
                    format!(
                        "{token} was exchanged again {:?} later: {record:?}",
                        record.start.saturating_sub(first.end)
                    ),
                ));
            }
            check_same_successor(index, first, record, found);
        }
    }
}

/// Another successor is only possible if the first one was exchanged in between.
fn check_same_successor(index: &Index, first: &Record, again: &Record, found: &mut Vec<Violation>) {
    let (Some(one), Some(other)) = (first.grant, again.grant) else { return };
    if one.refresh == other.refresh {
        return;
    }
    let was_exchanged = |token, before: &Record| {
        let exchanges = index.exchanges.get(&token).into_iter().flatten();
        exchanges.filter(|record| record.may_have_happened()).any(|record| record.start < before.end)
    };
    if !was_exchanged(one.refresh, again) && !was_exchanged(other.refresh, first) {
        found.push(Violation::new(
            Promise::RefreshOnce,
            format!("two successors of one token: {first:?} and {again:?}"),
        ));
    }
}

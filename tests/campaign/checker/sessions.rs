//! No session is lost by a fault of the server: a refused token needs a request that may have ended its session.

use std::collections::HashSet;
use std::time::Duration;

use super::index::{GRACE, Index};
use super::{Promise, Violation};
use crate::history::{History, Op, Record};

/// An exchange may be committed a little after its request was sent.
const MARGIN: Duration = Duration::from_millis(500);

pub fn check(history: &History, index: &Index, found: &mut Vec<Violation>) {
    for record in &history.records {
        if record.accepted != Some(false) || matches!(record.op, Op::Login { .. }) {
            continue;
        }
        let Some(session) = record.session else { continue };
        let Some(began) = index.began.get(&session) else { continue };
        let may_have_ended = index.enders(began.account).iter().any(|ender| {
            ender.id != record.id
                && ender.start < record.end
                && ender.may_have_happened()
                && index.is_aimed_at(ender, session)
        });
        if !may_have_ended && !may_be_reuse(history, index, record) {
            found.push(Violation::new(Promise::SessionsLast, format!("a session was lost: {record:?}")));
        }
    }
}

/// The number of sessions that ended because a client got no response to an exchange until the grace period was over. The API
/// defines this as theft, because the server cannot tell a client from a thief.
pub fn lost_to_grace_period(history: &History) -> usize {
    let index = Index::of(history);
    let mut lost = HashSet::new();
    for (token, exchanges) in &index.exchanges {
        let was_answered = exchanges.iter().any(|record| record.accepted == Some(true));
        for record in exchanges.iter().filter(|record| record.accepted == Some(false) && !was_answered) {
            let is_late = exchanges
                .iter()
                .any(|earlier| earlier.may_have_happened() && earlier.start + GRACE < record.end + MARGIN);
            let session = record.session.and_then(|session| index.began.get(&session).copied());
            let Some(began) = session.filter(|_| is_late) else { continue };
            let has_other_cause = index.enders(began.account).iter().any(|ender| {
                ender.may_have_happened()
                    && ender.start < record.end
                    && record.session.is_some_and(|session| index.is_aimed_at(ender, session))
            });
            if !has_other_cause {
                lost.insert((record.session, *token));
            }
        }
    }
    lost.len()
}

/// Whether a refresh token of the session was presented after its grace period, as the API defines theft: by this request or
/// by an earlier one. An exchange whose response was lost counts as an exchange.
fn may_be_reuse(history: &History, index: &Index, record: &Record) -> bool {
    let is_reuse = |presented: &Record, token| {
        index.exchanges.get(&token).into_iter().flatten().any(|earlier| {
            earlier.id != presented.id
                && earlier.may_have_happened()
                && earlier.start + GRACE < presented.end + MARGIN
        })
    };
    history.records.iter().any(|presented| match presented.op {
        Op::Refresh { token } => {
            presented.session == record.session
                && presented.start <= record.end
                && (presented.id == record.id
                    || presented.may_have_happened()
                    || presented.accepted == Some(false))
                && is_reuse(presented, token)
        }
        _ => false,
    })
}

//! Which transactions had ended a while ago, as this replica has seen it.
//!
//! A replica that trusts a Redis has swept within `SWEEP_TRUST`, so it knows every end of a session that had been committed
//! before. An end needs no further announcement if its transaction had ended in a snapshot of that age. A time in the row
//! could not tell: a transaction commits later than it says.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use latchkey_protocol::lease::SWEPT_AFTER;
use uuid::Uuid;

/// The minimum time between two snapshots that are kept.
const INTERVAL: Duration = Duration::from_secs(1);

/// The snapshots of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<VecDeque<Snapshot>>);

#[derive(Debug)]
struct Snapshot {
    /// Another server may use the same transaction ids again.
    server: (Uuid, DateTime<Utc>),
    /// As `pg_current_snapshot` returns it.
    text: String,
    /// It was taken before.
    seen_at: Instant,
}

impl Snapshots {
    /// Keeps a snapshot that a server of the database, identified by the id of the service and the time of its start, has
    /// returned by `now`.
    pub(super) fn keep(&self, server: (Uuid, DateTime<Utc>), text: &str, now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.back().is_some_and(|last| last.server != server) {
            kept.clear();
        }
        if kept.back().is_some_and(|last| now.duration_since(last.seen_at) < INTERVAL) {
            return;
        }
        kept.push_back(Snapshot { server, text: text.to_owned(), seen_at: now });
        // The second one is old enough too, so the first one is not needed.
        while kept.get(1).is_some_and(|second| is_old_enough(second, now)) {
            kept.pop_front();
        }
    }

    /// The newest snapshot that is old enough; `None` if this replica has not seen one yet.
    pub(super) fn old_enough(&self, now: Instant) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().find(|snapshot| is_old_enough(snapshot, now)).map(|snapshot| snapshot.text.clone())
    }
}

fn is_old_enough(snapshot: &Snapshot, now: Instant) -> bool {
    now.duration_since(snapshot.seen_at) >= SWEPT_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshot_that_is_old_enough_is_used() {
        let (snapshots, start) = (Snapshots::default(), Instant::now());
        let server = (Uuid::nil(), DateTime::UNIX_EPOCH);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for number in 0..400_u64 {
            snapshots.keep(server, &number.to_string(), at(number * 250));
        }
        // One in a second is kept, and none that is not needed.
        let last = 399 * 250;
        let found: u64 = snapshots.old_enough(at(last)).unwrap().parse().unwrap();
        let age = Duration::from_millis(last - found * 250);
        assert!(age >= SWEPT_AFTER && age < SWEPT_AFTER + INTERVAL, "{age:?}");
        assert!(snapshots.0.lock().unwrap().len() <= 13);
        assert_eq!(Snapshots::default().old_enough(start), None);
    }

    #[test]
    fn a_snapshot_of_the_age_of_a_sweep_is_old_enough_and_no_younger_one() {
        let (snapshots, start) = (Snapshots::default(), Instant::now());
        snapshots.keep((Uuid::nil(), DateTime::UNIX_EPOCH), "a", start);
        assert_eq!(snapshots.old_enough(start + SWEPT_AFTER.saturating_sub(Duration::from_nanos(1))), None);
        assert_eq!(snapshots.old_enough(start + SWEPT_AFTER).as_deref(), Some("a"));
    }

    #[test]
    fn snapshots_of_another_server_say_nothing() {
        let (snapshots, start) = (Snapshots::default(), Instant::now());
        let later = start + SWEPT_AFTER * 2;
        for other in
            [(Uuid::from_u128(1), DateTime::UNIX_EPOCH), (Uuid::from_u128(1), DateTime::<Utc>::MAX_UTC)]
        {
            snapshots.keep((Uuid::nil(), DateTime::UNIX_EPOCH), "a", start);
            snapshots.keep(other, "b", later);
            assert_eq!(snapshots.old_enough(later), None);
            assert_eq!(snapshots.old_enough(later + SWEPT_AFTER).as_deref(), Some("b"));
            snapshots.keep((Uuid::nil(), DateTime::UNIX_EPOCH), "a", later + SWEPT_AFTER);
            assert_eq!(snapshots.old_enough(later + SWEPT_AFTER), None);
        }
    }
}

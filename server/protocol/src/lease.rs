//! Whether a replica may trust the Redis that it is connected to, and for how long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::ClockOffset;
use crate::record::Record;

/// How long a replica trusts PostgreSQL's answer about the trusted copy, and Redis's answer about its data. A revocation
/// that cannot be written to Redis waits as long.
pub const TRUST: Duration = Duration::from_secs(1);

/// How long a replica trusts Redis without having swept: without having copied to it the revocations that another replica
/// committed and did not live to announce.
pub const SWEEP_TRUST: Duration = Duration::from_secs(10);

/// An end of a session that was committed this long ago is known to every replica that trusts a Redis, whether or not it was
/// announced: the replica has swept since.
pub const SWEPT_AFTER: Duration = SWEEP_TRUST.saturating_add(MARGIN);

/// How long a key of Redis announces an account whose sessions have ended together. Until it expires, PostgreSQL answers the
/// checks of this account.
pub const ACCOUNT_KEY: Duration = Duration::from_mins(1);

/// Added to the wait: timers and the clocks' rates differ a little between machines.
pub const MARGIN: Duration = Duration::from_millis(100);

/// What is known of a connection to Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The id of the connection.
    pub id: u64,
    /// The prefix of the epochs of all copies that were made in the data which Redis held when the connection was made.
    pub epoch_prefix: String,
    /// When the identity of that data was requested.
    pub identified_at: Instant,
}

impl Link {
    /// Whether the copy of this epoch was made in the data that the connection led to. The marker alone does not tell: it
    /// is copied with the data of another Redis, and restored from a snapshot.
    pub fn made(&self, epoch: &str) -> bool {
        epoch.starts_with(&self.epoch_prefix)
    }
}

/// The last answer of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// The record.
    pub record: Record,
    /// Before the question was sent: the record was current then or later.
    pub asked_at: Instant,
    /// When this replica first saw the present value of `record.trusted`.
    pub seen_since: Instant,
    /// How far the database's clock was from this replica's.
    pub clock: ClockOffset,
}

impl Confirmed {
    /// Takes an answer after the one `before` it.
    pub fn after(
        before: Option<&Self>,
        record: Record,
        (asked_at, answered_at): (Instant, Instant),
        clock: ClockOffset,
    ) -> Self {
        let unchanged = before.filter(|before| {
            before.record.changed_at == record.changed_at && before.record.trusted == record.trusted
        });
        let seen_since = unchanged.map_or(answered_at, |before| before.seen_since);
        Self { record, asked_at, seen_since, clock }
    }
}

/// A successful check or sweep of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The connection.
    pub connection_id: u64,
    /// Before the check began.
    pub began_at: Instant,
}

impl Check {
    /// When this check of `link` began; `None` if it was of another connection.
    pub fn of(self, link: &Link) -> Option<Instant> {
        (self.connection_id == link.id).then_some(self.began_at)
    }
}

/// What a replica knows.
#[derive(Debug, Clone, Copy)]
pub struct Knowledge<'a> {
    /// From PostgreSQL.
    pub confirmed: Option<&'a Confirmed>,
    /// The last time that Redis showed the identity of the data which the connection was made for.
    pub verified: Option<Check>,
    /// The last sweep.
    pub swept: Option<Check>,
}

impl<'a> Knowledge<'a> {
    /// The epoch that the marker must hold so that the Redis behind `link` is trusted at `now`; `None` if it is not trusted
    /// whatever the marker holds.
    pub fn trusted_epoch(&self, link: &Link, now: Instant) -> Option<&'a Arc<str>> {
        let confirmed = self.confirmed?;
        let epoch = confirmed.record.trusted.as_ref()?;
        let verified_at = self.verified.and_then(|check| check.of(link)).unwrap_or(link.identified_at);
        let swept_at = self.swept.and_then(|check| check.of(link))?;
        let is_trusted = now < confirmed.asked_at + TRUST
            && !confirmed.clock.exceeds_margin()
            && link.made(epoch)
            && now < verified_at + TRUST
            && now < swept_at + SWEEP_TRUST;
        is_trusted.then_some(epoch)
    }

    /// When every replica has stopped trusting any Redis, given that the withdrawal of `withdrawn` was committed by `now`.
    pub fn expired_everywhere_at(&self, withdrawn: &Record, now: Instant) -> Instant {
        let since = self
            .confirmed
            .filter(|seen| seen.record.trusted.is_none() && seen.record.changed_at == withdrawn.changed_at)
            .map_or(now, |seen| seen.seen_since);
        since + TRUST + MARGIN
    }
}

/// Whether what Redis said about a session counts. It was read together with this marker, between two moments at which the
/// replica trusted these epochs. Without the first, the marker could be that of a refill which had not copied the session's
/// revocation when it was read.
pub fn answers_check(trusted_before: &str, marker: Option<&str>, trusted_after: &str) -> bool {
    marker == Some(trusted_before) && trusted_after == trusted_before
}

/// Whether the session has ended, given the keys of the session and of its account in a trusted Redis; `None` if PostgreSQL has
/// to be asked.
pub fn decide_check(session_key: bool, account_key: bool) -> Option<bool> {
    (session_key || !account_key).then_some(session_key)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn record(trusted: Option<&str>, changed: i64) -> Record {
        Record {
            trusted: trusted.map(Arc::from),
            candidate: None,
            changed_at: DateTime::from_timestamp(changed, 0).unwrap(),
        }
    }

    fn clock() -> ClockOffset {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        ClockOffset::measure(now, now, now)
    }

    fn seen(records: &[(Record, Instant)]) -> Confirmed {
        let mut confirmed = None;
        for (record, at) in records {
            confirmed = Some(Confirmed::after(confirmed.as_ref(), record.clone(), (*at, *at), clock()));
        }
        confirmed.unwrap()
    }

    fn wait_is_over_at(confirmed: &Confirmed, withdrawn: &Record, now: Instant) -> Instant {
        let knowledge = Knowledge { confirmed: Some(confirmed), verified: None, swept: None };
        knowledge.expired_everywhere_at(withdrawn, now)
    }

    #[test]
    fn a_withdrawal_seen_long_ago_needs_no_wait() {
        let start = Instant::now();
        let confirmed = seen(&[(record(None, 1), start), (record(None, 1), start + TRUST)]);
        let now = start + TRUST * 3;
        assert!(wait_is_over_at(&confirmed, &record(None, 1), now) < now);
    }

    #[test]
    fn a_fresh_or_another_withdrawal_is_waited_for() {
        let start = Instant::now();
        let confirmed = seen(&[(record(Some("a"), 0), start)]);
        assert!(wait_is_over_at(&confirmed, &record(None, 1), start) > start + TRUST);
        let confirmed = seen(&[(record(None, 1), start)]);
        let now = start + TRUST * 3;
        // In between it was trusted again and withdrawn again.
        assert!(wait_is_over_at(&confirmed, &record(None, 2), now) > now + TRUST);
    }
}

//! Whether this replica may trust the Redis that it is connected to, and for how long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};

use super::keys::Keys;
use crate::domain::clock::ClockOffset;
use crate::redis_connection::Connection;
use crate::store::RevocationState;

/// How long PostgreSQL's answer about a marker is trusted, and Redis's answer about its data. A revocation that
/// cannot be written to Redis waits as long.
pub const TRUST: Duration = Duration::from_secs(1);

/// How long a replica trusts Redis without having swept: without having copied to it the revocations that another replica
/// committed and did not live to announce.
pub(super) const SWEEP_TRUST: Duration = Duration::from_secs(10);

/// Added to the wait: timers and the clocks' rates differ a little between machines.
const MARGIN: Duration = Duration::from_millis(100);

/// The last answer of PostgreSQL.
#[derive(Debug)]
struct Confirmed {
    epoch: Option<Arc<str>>,
    keys: Arc<Keys>,
    trusted_until: Instant,
    changed_at: DateTime<Utc>,
    tokens_valid_from: DateTime<Utc>,
    /// How far the database's clock was from this replica's.
    clock: ClockOffset,
    /// When this replica first saw the present value.
    seen_since: Instant,
}

/// A successful check or sweep of one connection.
#[derive(Debug)]
struct Check {
    connection_id: u64,
    began_at: Instant,
}

/// What a Redis must show to be trusted now.
#[derive(Debug, Clone)]
pub(super) struct TrustedState {
    /// The expected value of the marker.
    pub(super) epoch: Arc<str>,
    /// The key names of this service.
    pub(super) keys: Arc<Keys>,
    /// Tokens issued before are of a database that is no more: Redis knows nothing of them.
    pub(super) tokens_valid_from: DateTime<Utc>,
}

/// What this replica knows of PostgreSQL and Redis.
#[derive(Debug, Default)]
pub(super) struct Trust {
    confirmed: ArcSwapOption<Confirmed>,
    verified: ArcSwapOption<Check>,
    swept: ArcSwapOption<Check>,
}

/// The times around a question to PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Before it was sent: what was answered was true then or later.
    pub(super) at: Instant,
    /// The same by the wall clock.
    pub(super) time: DateTime<Utc>,
}

impl Asked {
    /// Take it before the question is sent.
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), time: Utc::now() }
    }
}

impl Trust {
    /// Takes PostgreSQL's answer to a question that was asked at `asked` and answered by `answered`.
    pub(super) fn confirm(&self, state: &RevocationState, keys: Keys, asked: Asked, answered: Asked) {
        let before = self.confirmed.load();
        let unchanged = before.as_ref().filter(|before| {
            before.changed_at == state.changed_at && before.epoch.as_deref() == state.redis_epoch.as_deref()
        });
        self.confirmed.store(Some(Arc::new(Confirmed {
            epoch: state.redis_epoch.as_deref().map(Arc::from),
            keys: Arc::new(keys),
            trusted_until: asked.at + TRUST,
            changed_at: state.changed_at,
            tokens_valid_from: state.tokens_valid_from,
            clock: ClockOffset::measure(asked.time, state.database_time, answered.time),
            seen_since: unchanged.map_or(answered.at, |before| before.seen_since),
        })));
    }

    /// The Redis behind `connection` has said, to a question asked at `asked_at`, that it holds the data it should.
    pub(super) fn verify(&self, connection: &Connection, asked_at: Instant) {
        self.verified.store(Some(Arc::new(Check { connection_id: connection.id(), began_at: asked_at })));
    }

    /// Every revocation that was committed before `begun_at` is in the Redis behind `connection`.
    pub(super) fn sweep(&self, connection: &Connection, begun_at: Instant) {
        self.swept.store(Some(Arc::new(Check { connection_id: connection.id(), began_at: begun_at })));
    }

    /// When the last sweep by way of `connection` began.
    pub(super) fn swept_at(&self, connection: &Connection) -> Option<Instant> {
        checked_at(&self.swept, connection)
    }

    /// What the Redis behind `connection` must show to be trusted at `now`; `None` when it cannot be trusted whatever it
    /// shows. An epoch begins with the id of the data in which it was set: a Redis that was restarted, restored or
    /// promoted, or that took over the data of another one, has another.
    pub(super) fn trusted_state(&self, connection: &Connection, now: Instant) -> Option<TrustedState> {
        let confirmed = self.confirmed.load();
        let confirmed = confirmed.as_ref()?;
        let epoch = confirmed.epoch.as_ref()?;
        let verified_at = checked_at(&self.verified, connection).unwrap_or(connection.identified_at());
        let is_trusted = now < confirmed.trusted_until
            && !confirmed.clock.exceeds_margin()
            && belongs_to(epoch, connection)
            && now < verified_at + TRUST
            && self.swept_at(connection).is_some_and(|swept_at| now < swept_at + SWEEP_TRUST);
        is_trusted.then(|| TrustedState {
            epoch: Arc::clone(epoch),
            keys: Arc::clone(&confirmed.keys),
            tokens_valid_from: confirmed.tokens_valid_from,
        })
    }

    /// The key names of this service; `None` before PostgreSQL has answered.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        self.confirmed.load().as_ref().map(|confirmed| Arc::clone(&confirmed.keys))
    }

    /// How far the database's clock is from this replica's; `None` before PostgreSQL has answered.
    pub(super) fn clock(&self) -> Option<ClockOffset> {
        self.confirmed.load().as_ref().map(|confirmed| confirmed.clock)
    }

    /// When the trust of every replica in any Redis has expired, given that `state` withdrew it and was committed by
    /// `now`.
    pub(super) fn expired_everywhere_at(&self, state: &RevocationState, now: Instant) -> Instant {
        let confirmed = self.confirmed.load();
        let since = confirmed
            .as_ref()
            .filter(|seen| seen.epoch.is_none() && seen.changed_at == state.changed_at)
            .map_or(now, |seen| seen.seen_since);
        since + TRUST + MARGIN
    }
}

/// Whether `epoch` was set in the data that `connection` showed.
pub(super) fn belongs_to(epoch: &str, connection: &Connection) -> bool {
    epoch.starts_with(connection.marker_prefix())
}

fn checked_at(check: &ArcSwapOption<Check>, connection: &Connection) -> Option<Instant> {
    check.load().as_ref().filter(|check| check.connection_id == connection.id()).map(|check| check.began_at)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn state(epoch: Option<&str>, changed: i64) -> RevocationState {
        RevocationState {
            redis_epoch: epoch.map(str::to_owned),
            refill_epoch: None,
            generation: 0,
            changed_at: DateTime::from_timestamp(changed, 0).unwrap(),
            tokens_valid_from: DateTime::UNIX_EPOCH,
            service_id: Uuid::nil(),
            database_name: String::new(),
            database_time: Utc::now(),
            server_started_at: DateTime::UNIX_EPOCH,
        }
    }

    fn confirm(trust: &Trust, state: &RevocationState, instant: Instant) {
        trust.confirm(state, Keys::new("", state), at(instant), at(instant));
    }

    fn at(instant: Instant) -> Asked {
        Asked { at: instant, time: Utc::now() }
    }

    #[test]
    fn a_withdrawal_seen_long_ago_needs_no_wait() {
        let (trust, start) = (Trust::default(), Instant::now());
        confirm(&trust, &state(None, 1), start);
        confirm(&trust, &state(None, 1), start + TRUST);
        let now = start + TRUST * 3;
        assert!(trust.expired_everywhere_at(&state(None, 1), now) < now);
    }

    #[test]
    fn a_fresh_or_another_withdrawal_is_waited_for() {
        let (trust, start) = (Trust::default(), Instant::now());
        assert!(trust.expired_everywhere_at(&state(None, 1), start) > start + TRUST);
        confirm(&trust, &state(None, 1), start);
        let now = start + TRUST * 3;
        // In between it was trusted again and withdrawn again.
        assert!(trust.expired_everywhere_at(&state(None, 2), now) > now + TRUST);
    }
}

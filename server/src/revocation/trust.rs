//! Which marker this replica believes, and for how long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};

use crate::redis_link::Connection;
use crate::store::RevocationState;

/// How long PostgreSQL's word for a marker is good. A revocation that cannot be written to Redis waits as long.
pub const TRUST: Duration = Duration::from_secs(1);

/// Added to the wait: timers and the clocks' rates differ a little between machines.
const MARGIN: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Confirmed {
    epoch: Option<Arc<str>>,
    believed_until: Instant,
    changed_at: DateTime<Utc>,
    tokens_valid_from: DateTime<Utc>,
    /// When this replica first saw the present value.
    seen_since: Instant,
}

/// What a replica may believe just now.
#[derive(Debug, Clone)]
pub(super) struct Belief {
    /// The marker that Redis must show.
    pub(super) epoch: Arc<str>,
    /// Tokens issued before are of a database that is no more: Redis knows nothing of them.
    pub(super) tokens_valid_from: DateTime<Utc>,
}

/// PostgreSQL's last word on Redis.
#[derive(Debug, Default)]
pub(super) struct Trust(ArcSwapOption<Confirmed>);

impl Trust {
    /// Takes PostgreSQL's answer to a question that was asked at `asked_at` and answered by `now`.
    pub(super) fn confirm(&self, state: &RevocationState, asked_at: Instant, now: Instant) {
        let before = self.0.load();
        let unchanged = before.as_ref().filter(|before| {
            before.changed_at == state.changed_at && before.epoch.as_deref() == state.redis_epoch.as_deref()
        });
        self.0.store(Some(Arc::new(Confirmed {
            epoch: state.redis_epoch.as_deref().map(Arc::from),
            believed_until: asked_at + TRUST,
            changed_at: state.changed_at,
            tokens_valid_from: state.tokens_valid_from,
            seen_since: unchanged.map_or(now, |before| before.seen_since),
        })));
    }

    /// What the Redis behind `connection` must show to be believed at `now`; `None` when it cannot
    /// be believed whatever it shows. A marker begins with the run id of the Redis process it was set in: one
    /// that was restarted, restored or promoted has another.
    pub(super) fn belief(&self, connection: &Connection, now: Instant) -> Option<Belief> {
        let confirmed = self.0.load();
        let confirmed = confirmed.as_ref()?;
        let epoch = confirmed.epoch.as_ref()?;
        let holds = now < confirmed.believed_until && epoch.starts_with(connection.run_id());
        holds.then(|| Belief { epoch: Arc::clone(epoch), tokens_valid_from: confirmed.tokens_valid_from })
    }

    /// When no replica can still believe any Redis, given that `state` withdrew the belief and was committed
    /// by `now`.
    pub(super) fn everybody_knows_at(&self, state: &RevocationState, now: Instant) -> Instant {
        let confirmed = self.0.load();
        let since = confirmed
            .as_ref()
            .filter(|seen| seen.epoch.is_none() && seen.changed_at == state.changed_at)
            .map_or(now, |seen| seen.seen_since);
        since + TRUST + MARGIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(epoch: Option<&str>, changed: i64) -> RevocationState {
        RevocationState {
            redis_epoch: epoch.map(str::to_owned),
            filling: None,
            generation: 0,
            changed_at: DateTime::from_timestamp(changed, 0).unwrap(),
            tokens_valid_from: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_withdrawal_seen_long_ago_needs_no_wait() {
        let (trust, start) = (Trust::default(), Instant::now());
        trust.confirm(&state(None, 1), start, start);
        trust.confirm(&state(None, 1), start + TRUST, start + TRUST);
        let now = start + TRUST * 3;
        assert!(trust.everybody_knows_at(&state(None, 1), now) < now);
    }

    #[test]
    fn a_fresh_or_another_withdrawal_is_waited_for() {
        let (trust, start) = (Trust::default(), Instant::now());
        assert!(trust.everybody_knows_at(&state(None, 1), start) > start + TRUST);
        trust.confirm(&state(None, 1), start, start);
        let now = start + TRUST * 3;
        // In between it was believed again and withdrawn again.
        assert!(trust.everybody_knows_at(&state(None, 2), now) > now + TRUST);
    }
}

//! What this replica knows of PostgreSQL and Redis. `latchkey-protocol` decides whether that is enough to trust the Redis that
//! it is connected to.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use latchkey_protocol::lease::{Check, Confirmed, Knowledge};
use latchkey_protocol::record::Record;

use super::keys::Keys;
use crate::domain::clock::ClockOffset;
use crate::redis_connection::Connection;
use crate::store::RevocationState;

/// The last answer of PostgreSQL.
#[derive(Debug)]
struct Answer {
    confirmed: Confirmed,
    keys: Arc<Keys>,
    tokens_valid_from: DateTime<Utc>,
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
    answer: ArcSwapOption<Answer>,
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
        let before = self.answer.load();
        let clock = ClockOffset::measure(asked.time, state.database_time, answered.time);
        let before = before.as_ref().map(|before| &before.confirmed);
        self.answer.store(Some(Arc::new(Answer {
            confirmed: Confirmed::after(before, state.record(), (asked.at, answered.at), clock),
            keys: Arc::new(keys),
            tokens_valid_from: state.tokens_valid_from,
        })));
    }

    /// The Redis behind `connection` has said, to a question asked at `asked_at`, that it holds the data it should.
    pub(super) fn verify(&self, connection: &Connection, asked_at: Instant) {
        self.verified.store(Some(Arc::new(check(connection, asked_at))));
    }

    /// Every revocation that was committed before `begun_at` is in the Redis behind `connection`.
    pub(super) fn sweep(&self, connection: &Connection, begun_at: Instant) {
        self.swept.store(Some(Arc::new(check(connection, begun_at))));
    }

    /// When the last sweep by way of `connection` began.
    pub(super) fn swept_at(&self, connection: &Connection) -> Option<Instant> {
        self.swept.load().as_ref().and_then(|check| check.of(connection.link()))
    }

    /// What the Redis behind `connection` must show to be trusted at `now`; `None` when it cannot be trusted whatever it
    /// shows.
    pub(super) fn trusted_state(&self, connection: &Connection, now: Instant) -> Option<TrustedState> {
        let answer = self.answer.load();
        let answer = answer.as_ref()?;
        let knowledge = self.knowledge(Some(&answer.confirmed));
        let epoch = knowledge.trusted_epoch(connection.link(), now)?;
        Some(TrustedState {
            epoch: Arc::clone(epoch),
            keys: Arc::clone(&answer.keys),
            tokens_valid_from: answer.tokens_valid_from,
        })
    }

    /// The key names of this service; `None` before PostgreSQL has answered.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        self.answer.load().as_ref().map(|answer| Arc::clone(&answer.keys))
    }

    /// How far the database's clock is from this replica's; `None` before PostgreSQL has answered.
    pub(super) fn clock(&self) -> Option<ClockOffset> {
        self.answer.load().as_ref().map(|answer| answer.confirmed.clock)
    }

    /// When the trust of every replica in any Redis has expired, given that `withdrawn` was committed by `now`.
    pub(super) fn expired_everywhere_at(&self, withdrawn: &Record, now: Instant) -> Instant {
        let answer = self.answer.load();
        self.knowledge(answer.as_ref().map(|answer| &answer.confirmed)).expired_everywhere_at(withdrawn, now)
    }

    fn knowledge<'a>(&self, confirmed: Option<&'a Confirmed>) -> Knowledge<'a> {
        let load = |check: &ArcSwapOption<Check>| check.load().as_ref().map(|check| **check);
        Knowledge { confirmed, verified: load(&self.verified), swept: load(&self.swept) }
    }
}

fn check(connection: &Connection, began_at: Instant) -> Check {
    Check { connection_id: connection.link().id, began_at }
}

//! What PostgreSQL records about the copy of all revocations in Redis.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::lease::Link;

/// Which copy every replica may trust. An *epoch* is the random name of one copy; the *marker*, a key of the Redis that
/// has the copy, holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The epoch of the trusted copy; `None` while no Redis is trusted.
    pub trusted: Option<Arc<str>>,
    /// The epoch of the copy that a refill is making.
    pub candidate: Option<Arc<str>>,
    /// When `trusted` last changed.
    pub changed_at: DateTime<Utc>,
}

/// The transitions. The server makes them with SQL statements of `store/revocations.rs`, which a test compares with these.
impl Record {
    /// Withdraws the trust in every Redis, and makes the refill that is under way fail.
    pub fn withdraw(&mut self, now: DateTime<Utc>) {
        if self.trusted.take().is_some() {
            self.changed_at = now;
        }
        self.candidate = None;
    }

    /// Names the copy that a refill is making. Returns `false`, and changes nothing, while a Redis is trusted, or if one was
    /// trusted since the withdrawal of `withdrawn`: the refill waited for the leases of before, not for those.
    pub fn begin_refill(&mut self, epoch: &Arc<str>, withdrawn: &Self) -> bool {
        let may_begin = self.trusted.is_none() && self.changed_at == withdrawn.changed_at;
        if may_begin {
            self.candidate = Some(Arc::clone(epoch));
        }
        may_begin
    }

    /// Trusts the copy if it is still the candidate; returns whether it was.
    pub fn trust(&mut self, epoch: &Arc<str>, now: DateTime<Utc>) -> bool {
        let is_candidate = self.candidate.as_ref() == Some(epoch);
        if is_candidate {
            self.trusted = self.candidate.take();
            self.changed_at = now;
        }
        is_candidate
    }
}

/// The decisions.
impl Record {
    /// Whether a revocation is known to every replica that trusts a Redis, now and after the current refill. It was
    /// committed and written to the Redis of `link`, where the marker was read afterwards.
    ///
    /// If that Redis loses the revocation, it loses the marker too. Replicas that trusted an older copy have stopped before
    /// a refill begins.
    pub fn covers(&self, marker: Option<&str>, link: &Link) -> bool {
        let expected = self.trusted.as_ref().or(self.candidate.as_ref());
        marker.is_some_and(|marker| expected.is_some_and(|epoch| **epoch == *marker) && link.made(marker))
    }

    /// Whether the Redis of `link` with this marker has the trusted copy.
    pub fn is_trusted_copy(&self, marker: Option<&str>, link: &Link) -> bool {
        marker.is_some_and(|marker| {
            self.trusted.as_ref().is_some_and(|epoch| **epoch == *marker) && link.made(marker)
        })
    }
}

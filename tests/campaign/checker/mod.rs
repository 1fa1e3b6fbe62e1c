//! Proves from the history of a run that no promise was broken. Where a response was lost, either outcome is possible, and
//! the checker assumes the one that breaks no promise.

mod acknowledged;
mod availability;
mod clients;
mod index;
mod mail;
mod refresh;
mod revocation;
mod sessions;

#[cfg(test)]
mod forged;
#[cfg(test)]
mod forged_clients;
#[cfg(test)]
mod forged_stores;

use crate::history::History;
use index::Index;
pub use sessions::lost_to_grace_period;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub promise: Promise,
    pub what: String,
}

/// The promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// No replica accepts a token after the response that revoked it, and none of a removed OAuth client after every replica
    /// has loaded the registry without it.
    RevokedIsRefused,
    /// No acknowledged write is missing.
    AcknowledgedIsKept,
    /// A refresh token works once, and again only within the grace period.
    RefreshOnce,
    /// No session is lost by a fault of the server.
    SessionsLast,
    /// No OAuth client is refused that is registered.
    ClientsAreServed,
    /// No error but 503 with Retry-After, and only while a dependency is away.
    OrderlyErrors,
    /// No response takes longer than 5 s.
    InTime,
    /// Every mail is sent, and twice only around a fault.
    MailOnce,
    /// Memory is bounded, and no log line has a panic or a secret.
    Bounded,
}

/// All broken promises.
pub fn check(history: &History) -> Vec<Violation> {
    let index = Index::of(history);
    let mut found = Vec::new();
    revocation::check(history, &index, &mut found);
    refresh::check(history, &index, &mut found);
    sessions::check(history, &index, &mut found);
    acknowledged::check(history, &index, &mut found);
    clients::check(history, &mut found);
    availability::check(history, &mut found);
    mail::check(history, &mut found);
    found
}

impl Violation {
    fn new(promise: Promise, what: String) -> Self {
        Self { promise, what }
    }
}

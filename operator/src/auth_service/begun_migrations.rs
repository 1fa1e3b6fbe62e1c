//! The first migrations that this process has decided to begin. Until the cache shows their Jobs, a concurrent reconcile
//! of another AuthService with the same database finds them here.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long the cache may take to show the Job.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// By the uid of the AuthService: the database, and when its migration began; `None` if another problem holds it back.
#[derive(Debug, Default)]
pub(crate) struct BegunMigrations(HashMap<String, (String, Option<Instant>)>);

impl BegunMigrations {
    pub(crate) fn has_begun(&self, uid: &str, database: &str) -> bool {
        let begun = self.0.get(uid).filter(|(known, _)| known == database);
        begun.and_then(|(_, since)| *since).is_some_and(|since| since.elapsed() < SEEN_WITHIN)
    }

    /// Whether another problem kept it from migrating when it was reconciled last.
    pub(crate) fn is_held_back(&self, uid: &str, database: &str) -> bool {
        self.0.get(uid).is_some_and(|(known, since)| known == database && since.is_none())
    }

    /// The first time counts: a service that was not held back and has no Job does not stay ahead of others.
    pub(crate) fn begin(&mut self, uid: &str, database: &str) {
        if self.0.get(uid).is_none_or(|(known, since)| known != database || since.is_none()) {
            self.0.insert(uid.to_owned(), (database.to_owned(), Some(Instant::now())));
        }
    }

    pub(crate) fn hold_back(&mut self, uid: &str) {
        if let Some((_, since)) = self.0.get_mut(uid) {
            *since = None;
        }
    }

    pub(crate) fn remove(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    pub(crate) fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.0.retain(|uid, _| exists(uid));
    }
}

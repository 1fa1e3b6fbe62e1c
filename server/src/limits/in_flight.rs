//! Attempts of this replica that may still give back, and attempts that wait for them.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::bucket::{Bucket, BucketKey};

/// The attempts on one bucket.
#[derive(Default)]
struct Entry {
    /// Attempts that may still give back: they are being counted, or were accepted.
    active: usize,
    /// Refused attempts that wait for those.
    waiting: usize,
    /// How many units were given back.
    returns: u64,
    /// Wakes one waiting attempt when a unit was given back, so that many do not ask for one unit, and all of them when no
    /// unit can be given back any more.
    changed: Arc<Notify>,
}

type Entries = HashMap<BucketKey, Entry>;

/// The attempts per bucket. Attempts of other replicas, counted in Redis, are not included.
#[derive(Default)]
pub(super) struct InFlight(Mutex<Entries>);

/// An active attempt. Dropping it leaves its buckets without giving back.
pub(super) struct Place<'a> {
    in_flight: &'a InFlight,
    keys: Vec<BucketKey>,
    /// How many units had been given back to each bucket when it was asked.
    seen: Vec<u64>,
}

impl InFlight {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters an attempt that is about to be counted in these buckets.
    pub(super) fn enter(&self, buckets: &[Bucket]) -> Place<'_> {
        self.enter_keys(buckets.iter().map(|bucket| bucket.key).collect())
    }

    fn enter_keys(&self, keys: Vec<BucketKey>) -> Place<'_> {
        let mut entries = self.entries();
        let mut enter = |key: &BucketKey| {
            let entry = entries.entry(*key).or_default();
            entry.active += 1;
            entry.returns
        };
        let seen = keys.iter().map(&mut enter).collect();
        Place { in_flight: self, keys, seen }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }
}

impl<'a> Place<'a> {
    /// Leaves the buckets after their units were given back.
    pub(super) fn give_back(mut self) {
        let mut entries = self.in_flight.entries();
        for key in std::mem::take(&mut self.keys) {
            let Some(entry) = entries.get_mut(&key) else { continue };
            entry.active -= 1;
            entry.returns += 1;
            // The attempt that is woken asks next, and wakes the others when it leaves.
            entry.changed.notify_one();
            remove_if_unused(&mut entries, key);
        }
    }

    /// Waits, after the bucket of this number has refused the attempt, until a unit is given back to it. Gives the place to
    /// ask again from; `None` when no unit will be given back. An attempt that waits counts as one that gives nothing back.
    pub(super) async fn await_return(mut self, scarce: usize) -> Option<Self> {
        let in_flight = self.in_flight;
        let Some(waiting) = self.start_waiting(scarce) else { return Some(self) };
        loop {
            let mut changed = pin!(waiting.changed.notified());
            // Before the counts are read, so that no later change is missed.
            changed.as_mut().enable();
            match waiting.read_counts() {
                (returns, _) if returns != waiting.seen => {
                    return Some(in_flight.enter_keys(waiting.keys.clone()));
                }
                (_, 0) => return None,
                _ => changed.await,
            }
        }
    }

    /// `None` when a unit was given back while the attempt was counted: the place is then ready to ask again.
    fn start_waiting(&mut self, scarce: usize) -> Option<Waiting<'a>> {
        let mut entries = self.in_flight.entries();
        let (key, seen) = (self.keys[scarce], self.seen[scarce]);
        let entry = entries.entry(key).or_default();
        if entry.returns != seen {
            self.seen =
                self.keys.iter().map(|key| entries.get(key).map_or(0, |entry| entry.returns)).collect();
            return None;
        }
        entry.waiting += 1;
        let changed = Arc::clone(&entry.changed);
        let keys = std::mem::take(&mut self.keys);
        leave(&mut entries, &keys);
        Some(Waiting { in_flight: self.in_flight, key, keys, seen, changed })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        leave(&mut self.in_flight.entries(), &self.keys);
    }
}

/// A refused attempt that waits for those in flight.
struct Waiting<'a> {
    in_flight: &'a InFlight,
    /// The bucket that refused it.
    key: BucketKey,
    /// All its buckets.
    keys: Vec<BucketKey>,
    seen: u64,
    changed: Arc<Notify>,
}

impl Waiting<'_> {
    /// How many units were given back, and how many attempts may still do so.
    fn read_counts(&self) -> (u64, usize) {
        self.in_flight.entries().get(&self.key).map_or((0, 0), |entry| (entry.returns, entry.active))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut entries = self.in_flight.entries();
        if let Some(entry) = entries.get_mut(&self.key) {
            entry.waiting -= 1;
        }
        remove_if_unused(&mut entries, self.key);
    }
}

/// Leaves the buckets without giving back.
fn leave(entries: &mut Entries, keys: &[BucketKey]) {
    for key in keys {
        let Some(entry) = entries.get_mut(key) else { continue };
        entry.active -= 1;
        if entry.active == 0 {
            entry.changed.notify_waiters();
        }
        remove_if_unused(entries, *key);
    }
}

fn remove_if_unused(entries: &mut Entries, key: BucketKey) {
    if entries.get(&key).is_some_and(|entry| entry.active == 0 && entry.waiting == 0) {
        entries.remove(&key);
    }
}

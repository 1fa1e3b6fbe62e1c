//! Attempts of this replica that may still give back, and attempts that wait for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::bucket::{Bucket, BucketKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is being counted: whether it has taken a unit is not known yet.
    Asking,
    /// It has taken a unit.
    Holding,
    /// It was refused while others were being counted or in flight.
    Waiting,
}

#[derive(Default)]
struct Entry {
    asking: usize,
    holding: usize,
    waiting: usize,
    /// How many units were given back.
    returns: u64,
    /// Wakes one waiting attempt: a unit was given back.
    returned: Arc<Notify>,
    /// Wakes all waiting attempts: no unit will be given back.
    idle: Arc<Notify>,
}

impl Entry {
    fn count(&mut self, stage: Stage) -> &mut usize {
        match stage {
            Stage::Asking => &mut self.asking,
            Stage::Holding => &mut self.holding,
            Stage::Waiting => &mut self.waiting,
        }
    }

    fn is_idle(&self) -> bool {
        self.asking == 0 && self.holding == 0
    }
}

type Entries = HashMap<BucketKey, Entry>;

/// The attempts per bucket. Attempts of other replicas, counted in Redis, are not included.
#[derive(Default)]
pub(super) struct InFlight(Mutex<Entries>);

/// The place of an attempt in its buckets; dropping it leaves them.
pub(super) struct Place<'a> {
    in_flight: &'a InFlight,
    keys: Vec<BucketKey>,
    stage: Stage,
    /// How often something had come back into each bucket when it was asked.
    returns: Vec<u64>,
}

/// The outlook of a refused attempt.
pub(super) enum Prospect<'a> {
    /// A unit was given back while it was counted.
    AskAgain,
    /// A unit may be given back.
    Wait(Wait<'a>),
    /// No unit will be given back.
    None,
}

/// A refused attempt that waits.
pub(super) struct Wait<'a> {
    _place: Place<'a>,
    returned: OwnedNotified,
    idle: OwnedNotified,
}

impl InFlight {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self, buckets: &[Bucket]) -> Place<'_> {
        let keys: Vec<_> = buckets.iter().map(|bucket| bucket.key).collect();
        let mut entries = self.entries();
        let mut enter = |key: &BucketKey| {
            let entry = entries.entry(*key).or_default();
            entry.asking += 1;
            entry.returns
        };
        let returns = keys.iter().map(&mut enter).collect();
        Place { in_flight: self, keys, stage: Stage::Asking, returns }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }
}

impl<'a> Place<'a> {
    /// Marks the attempt as having taken a unit.
    pub(super) fn hold(&mut self) {
        let mut entries = self.in_flight.entries();
        for key in &self.keys {
            if let Some(entry) = entries.get_mut(key) {
                *entry.count(self.stage) -= 1;
                entry.holding += 1;
            }
        }
        self.stage = Stage::Holding;
    }

    /// Marks the attempt as having given back.
    pub(super) fn give_back(mut self) {
        let keys = std::mem::take(&mut self.keys);
        leave(&mut self.in_flight.entries(), &keys, self.stage, End::GaveBack);
    }

    /// Marks the attempt as refused by the bucket of this number.
    pub(super) fn wait(mut self, scarce: usize) -> Prospect<'a> {
        let keys = std::mem::take(&mut self.keys);
        let (in_flight, key) = (self.in_flight, keys[scarce]);
        let mut entries = in_flight.entries();
        // Entered first, so that the entry stays; in one step, so that nothing happens in between.
        let entry = entries.entry(key).or_default();
        entry.waiting += 1;
        let came_back = entry.returns != self.returns[scarce];
        let (returned, idle) = (Arc::clone(&entry.returned), Arc::clone(&entry.idle));
        let (returned, idle) = (returned.notified_owned(), idle.notified_owned());
        // Who asks again at once has not given up hope for the others either.
        leave(&mut entries, &keys, self.stage, if came_back { End::Quiet } else { End::Taken });
        let idle_now = entries.get(&key).is_none_or(Entry::is_idle);
        drop(entries);
        let place = Place { in_flight, keys: vec![key], stage: Stage::Waiting, returns: Vec::new() };
        match (came_back, idle_now) {
            (true, _) => Prospect::AskAgain,
            (false, true) => Prospect::None,
            (false, false) => Prospect::Wait(Wait { _place: place, returned, idle }),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        leave(&mut self.in_flight.entries(), &self.keys, self.stage, End::Taken);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// What it had taken, if anything, stays taken.
    Taken,
    /// It gave back.
    GaveBack,
    /// It is about to ask again.
    Quiet,
}

fn leave(entries: &mut Entries, keys: &[BucketKey], stage: Stage, end: End) {
    for key in keys {
        let Some(entry) = entries.get_mut(key) else { continue };
        let count = entry.count(stage);
        *count = count.saturating_sub(1);
        match end {
            // Whoever is woken asks next: if it is refused all the same, it wakes the others.
            End::GaveBack => {
                entry.returns += 1;
                entry.returned.notify_one();
            }
            End::Taken if stage != Stage::Waiting && entry.is_idle() => entry.idle.notify_waiters(),
            End::Taken | End::Quiet => {}
        }
        if entry.is_idle() && entry.waiting == 0 {
            entries.remove(key);
        }
    }
}

impl Wait<'_> {
    /// Whether to ask again; `false` when nothing will come back.
    pub(super) async fn something_returned(self) -> bool {
        tokio::select! {
            biased;
            () = self.returned => true,
            () = self.idle => false,
        }
    }
}

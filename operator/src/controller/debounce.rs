//! Debounces changes: several changes in quick succession trigger one reconcile. It is triggered when no change
//! arrived for a moment, or after a maximum time, so that continuous changes do not prevent it.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue;

/// The delay after the last change.
const QUIET: Duration = Duration::from_millis(50);
/// The maximum delay after the first change.
const LONGEST: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    quiet: Duration,
    longest: Duration,
}

/// The end of the delay that began at `began`, if no change arrives after `now`.
fn decide_end(limits: Limits, began: Instant, now: Instant) -> Instant {
    (now + limits.quiet).min(began + limits.longest)
}

struct Pending {
    began: Instant,
    key: delay_queue::Key,
}

struct Debouncer<S, T> {
    limits: Limits,
    changes: S,
    pending: HashMap<T, Pending>,
    ends: DelayQueue<T>,
}

impl<S, T> Debouncer<S, T>
where
    S: Stream<Item = T> + Unpin,
    T: Hash + Eq + Clone,
{
    fn add(&mut self, change: T) {
        let now = Instant::now();
        if let Some(pending) = self.pending.get(&change) {
            self.ends.reset_at(&pending.key, decide_end(self.limits, pending.began, now));
        } else {
            let key = self.ends.insert_at(change.clone(), decide_end(self.limits, now, now));
            self.pending.insert(change, Pending { began: now, key });
        }
    }

    /// The next item whose delay has ended; `None` when the stream of changes ends.
    async fn next(&mut self) -> Option<T> {
        loop {
            tokio::select! {
                // Ended delays first; otherwise continuous changes would delay them.
                biased;
                Some(ended) = self.ends.next() => {
                    let item = ended.into_inner();
                    self.pending.remove(&item);
                    return Some(item);
                }
                change = self.changes.next() => self.add(change?),
            }
        }
    }
}

/// Yields each item once for several changes in quick succession. Ends with the stream of changes; pending items are
/// dropped.
pub(crate) fn debounce<T>(changes: impl Stream<Item = T> + Unpin) -> impl Stream<Item = T>
where
    T: Hash + Eq + Clone,
{
    debounce_within(Limits { quiet: QUIET, longest: LONGEST }, changes)
}

fn debounce_within<T>(limits: Limits, changes: impl Stream<Item = T> + Unpin) -> impl Stream<Item = T>
where
    T: Hash + Eq + Clone,
{
    let debouncer = Debouncer { limits, changes, pending: HashMap::new(), ends: DelayQueue::new() };
    futures::stream::unfold(debouncer, |mut debouncer| async move {
        let next = debouncer.next().await?;
        Some((next, debouncer))
    })
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn changes_in_quick_succession_are_reported_once() {
        let (sender, receiver) = mpsc::unbounded();
        for change in [1, 2, 1, 1] {
            sender.unbounded_send(change).unwrap();
        }
        let mut reported = Box::pin(debounce(receiver));
        let mut both = [reported.next().await.unwrap(), reported.next().await.unwrap()];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
        sender.unbounded_send(3).unwrap();
        assert_eq!(reported.next().await, Some(3), "a change after the delay");
    }

    #[tokio::test]
    async fn continuous_changes_are_reported() {
        let limits = Limits { quiet: Duration::from_hours(1), longest: Duration::from_millis(20) };
        let endless = Box::pin(futures::stream::repeat(1).then(|change| async move {
            tokio::task::yield_now().await;
            change
        }));
        let reported: Vec<i32> = debounce_within(limits, endless).take(3).collect().await;
        assert_eq!(reported, [1, 1, 1]);
    }

    proptest! {
        #[test]
        fn a_delay_ends_in_time(pauses in proptest::collection::vec(0_u64..200, 1..50)) {
            let limits = Limits { quiet: QUIET, longest: LONGEST };
            let began = Instant::now();
            let (mut now, mut end) = (began, decide_end(limits, began, began));
            for pause in pauses {
                now += Duration::from_millis(pause);
                if now >= end {
                    break;
                }
                let later = decide_end(limits, began, now);
                prop_assert!(later >= end && later > now && later <= began + LONGEST);
                end = later;
            }
        }
    }
}

//! Debounces changes: several changes in quick succession trigger one reconcile. It is triggered when no change
//! arrived for a moment, or after a maximum time, so that continuous changes do not prevent it.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue;

/// A burst ends when no change arrived for this time.
const QUIET: Duration = Duration::from_millis(50);
/// A burst ends after this time at the latest.
const LONGEST: Duration = Duration::from_secs(1);

/// When a burst is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    quiet: Duration,
    longest: Duration,
}

/// The end of a burst that began at `began`, if no change arrives after `now`.
fn decide_end(limits: Limits, began: Instant, now: Instant) -> Instant {
    (now + limits.quiet).min(began + limits.longest)
}

struct Burst {
    began: Instant,
    key: delay_queue::Key,
}

struct Debouncer<S, T> {
    limits: Limits,
    changes: S,
    bursts: HashMap<T, Burst>,
    ends: DelayQueue<T>,
}

impl<S, T> Debouncer<S, T>
where
    S: Stream<Item = T> + Unpin,
    T: Hash + Eq + Clone,
{
    fn take_in(&mut self, change: T) {
        let now = Instant::now();
        if let Some(burst) = self.bursts.get(&change) {
            self.ends.reset_at(&burst.key, decide_end(self.limits, burst.began, now));
        } else {
            let key = self.ends.insert_at(change.clone(), decide_end(self.limits, now, now));
            self.bursts.insert(change, Burst { began: now, key });
        }
    }

    /// The next item whose burst has ended; `None` when the stream of changes ends.
    async fn next(&mut self) -> Option<T> {
        loop {
            tokio::select! {
                // Ended bursts first; otherwise continuous changes would delay them.
                biased;
                Some(over) = self.ends.next() => {
                    let over = over.into_inner();
                    self.bursts.remove(&over);
                    return Some(over);
                }
                change = self.changes.next() => self.take_in(change?),
            }
        }
    }
}

/// Yields each item once per burst of changes. Ends with the stream of changes; unfinished bursts are dropped.
pub fn debounce<T>(changes: impl Stream<Item = T> + Unpin) -> impl Stream<Item = T>
where
    T: Hash + Eq + Clone,
{
    debounce_within(Limits { quiet: QUIET, longest: LONGEST }, changes)
}

fn debounce_within<T>(limits: Limits, changes: impl Stream<Item = T> + Unpin) -> impl Stream<Item = T>
where
    T: Hash + Eq + Clone,
{
    let debouncer = Debouncer { limits, changes, bursts: HashMap::new(), ends: DelayQueue::new() };
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
    async fn changes_that_come_close_together_are_told_once() {
        let (sender, receiver) = mpsc::unbounded();
        for change in [1, 2, 1, 1] {
            sender.unbounded_send(change).unwrap();
        }
        let mut reported = Box::pin(debounce(receiver));
        let mut both = [reported.next().await.unwrap(), reported.next().await.unwrap()];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
        sender.unbounded_send(3).unwrap();
        assert_eq!(reported.next().await, Some(3), "another status of what came before");
    }

    #[tokio::test]
    async fn what_never_rests_is_told_all_the_same() {
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
        fn a_burst_is_over_in_time(pauses in proptest::collection::vec(0_u64..200, 1..50)) {
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

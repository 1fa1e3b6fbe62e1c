//! Changes that come close together are answered once. One that is changed all the time is answered all the same: a
//! burst is over when nothing has come for a moment, or when it has lasted for long enough.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue;

/// A burst is over when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(50);
/// A burst is over when it has lasted for so long.
const LONGEST: Duration = Duration::from_secs(1);

/// When a burst is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    quiet: Duration,
    longest: Duration,
}

/// When a burst is over that began at `began`, if nothing comes after `now`.
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

    /// The next whose burst is over; `None` when no more changes come.
    async fn next(&mut self) -> Option<T> {
        loop {
            tokio::select! {
                // What is due goes first, or changes that never end would hold it back.
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

/// Gives each once for every burst of changes. Ends with the changes; what is not over then is left out.
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
        let mut told = Box::pin(debounce(receiver));
        let mut both = [told.next().await.unwrap(), told.next().await.unwrap()];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
        sender.unbounded_send(3).unwrap();
        assert_eq!(told.next().await, Some(3), "another status of what came before");
    }

    #[tokio::test]
    async fn what_never_rests_is_told_all_the_same() {
        let limits = Limits { quiet: Duration::from_hours(1), longest: Duration::from_millis(20) };
        let endless = Box::pin(futures::stream::repeat(1).then(|change| async move {
            tokio::task::yield_now().await;
            change
        }));
        let told: Vec<i32> = debounce_within(limits, endless).take(3).collect().await;
        assert_eq!(told, [1, 1, 1]);
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

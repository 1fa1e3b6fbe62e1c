//! Measures by how much the machine stalls the campaign itself, so that a response is not called late for a delay that the
//! test host caused. The canary works for a moment every 50 ms. What it misses of its rounds is the stall.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::history::Moment;

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_millis(48);
/// The CPU time of one round.
const WORK: Duration = Duration::from_millis(2);
/// A round that takes so much longer than it should is normal.
const TOLERANCE: Duration = Duration::from_millis(5);

/// How often the speed is measured, by work that takes longer than a time slice of the kernel.
const SPEED_INTERVAL: Duration = Duration::from_millis(250);
const SPEED_WORK: Duration = Duration::from_millis(10);
/// Work that takes so many times as long as alone is starved of CPU time: the deadlines of the server, of PostgreSQL and of
/// Redis pass although none of them is slow.
const STARVED: u32 = 4;
/// How long a starved program needs to catch up.
const CATCHING_UP: Duration = Duration::from_secs(3);

/// The stalls of a run: the end of each, and its length; and the times at which the machine was starved.
#[derive(Debug, Default, Clone)]
pub struct Stalls {
    pub pauses: Vec<(Moment, Duration)>,
    pub starved: Vec<Moment>,
    /// How often the speed was measured.
    pub measured: usize,
}

impl Stalls {
    /// By how much the machine stalled within an interval.
    pub fn within(&self, start: Moment, end: Moment) -> Duration {
        let first = self.pauses.partition_point(|(at, _)| *at < start);
        let mut total = Duration::ZERO;
        for (at, length) in &self.pauses[first..] {
            let begun = at.saturating_sub(*length);
            if begun >= end {
                break;
            }
            total += (*at).min(end).saturating_sub(begun.max(start));
        }
        total
    }

    /// How much of the time programs were starved.
    pub fn starved_percent(&self) -> usize {
        100 * self.starved.len() / self.measured.max(1)
    }

    /// Whether programs were starved of CPU time in an interval or shortly before.
    pub fn starved(&self, start: Moment, end: Moment) -> bool {
        let first = self.starved.partition_point(|at| *at + CATCHING_UP < start);
        self.starved.get(first).is_some_and(|at| *at <= end)
    }
}

/// A running measurement.
#[derive(Debug)]
pub struct Canary {
    stalls: Arc<Mutex<Stalls>>,
    stop: Arc<AtomicBool>,
}

impl Canary {
    /// Measures from now on, in a thread.
    pub fn start(begun: Instant) -> Self {
        let canary = Self { stalls: Arc::default(), stop: Arc::default() };
        let (stalls, stop) = (Arc::clone(&canary.stalls), Arc::clone(&canary.stop));
        thread::spawn(move || {
            let mut last = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                thread::park_timeout(PAUSE);
                work(WORK);
                let took = last.elapsed();
                last = Instant::now();
                let excess = took.saturating_sub(PAUSE + WORK);
                if excess > TOLERANCE {
                    let at = begun.elapsed();
                    stalls.lock().unwrap_or_else(PoisonError::into_inner).pauses.push((at, excess));
                }
            }
        });
        let (stalls, stop) = (Arc::clone(&canary.stalls), Arc::clone(&canary.stop));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                thread::park_timeout(SPEED_INTERVAL);
                let started = Instant::now();
                work(SPEED_WORK);
                let is_starved = started.elapsed() > SPEED_WORK * STARVED;
                let mut stalls = stalls.lock().unwrap_or_else(PoisonError::into_inner);
                stalls.measured += 1;
                if is_starved {
                    stalls.starved.push(begun.elapsed());
                }
            }
        });
        canary
    }

    /// What was measured so far.
    pub fn stalls(&self) -> Stalls {
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Uses CPU time, which takes longer when other processes compete for it.
fn work(amount: Duration) {
    let used = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
    let begun = used();
    let give_up = Instant::now() + Duration::from_mins(1);
    while used().saturating_sub(begun) < amount && Instant::now() < give_up {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stall_within_the_interval_counts() {
        let seconds = Duration::from_secs;
        let stalls = vec![(seconds(2), seconds(1)), (seconds(10), seconds(4))];
        let stalls = Stalls { pauses: stalls, starved: vec![seconds(3)], measured: 4 };
        assert_eq!(stalls.starved_percent(), 25);
        assert!(stalls.starved(seconds(1), seconds(4)) && stalls.starved(seconds(5), seconds(6)));
        assert!(!stalls.starved(seconds(1), seconds(2)) && !stalls.starved(seconds(7), seconds(8)));
        assert_eq!(stalls.within(seconds(0), seconds(20)), seconds(5));
        assert_eq!(stalls.within(seconds(3), seconds(5)), Duration::ZERO);
        assert_eq!(stalls.within(seconds(3), seconds(8)), seconds(2));
        assert_eq!(stalls.within(seconds(8), seconds(9)), seconds(1));
    }
}

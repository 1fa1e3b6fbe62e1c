//! The queue of the hash pool: which hash starts when a worker is free.
//!
//! There are two lanes. Hashes of imported accounts may take ten times as long as Latchkey's own, or a hundred times. As
//! long as ordinary hashes wait, slow ones occupy at most half of the workers; a single worker runs [`FAST_PER_SLOW`]
//! ordinary hashes for each slow one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// With a single worker: ordinary hashes between two slow ones.
const FAST_PER_SLOW: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Ordinary,
    Slow,
}

/// What a hash needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    pub(super) lane: Lane,
    /// The expected duration.
    pub(super) duration: Duration,
    pub(super) kib: u64,
    /// Whether it needs more memory than the buffers of the pool have.
    pub(super) is_large: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueState {
    pub(super) running: usize,
    pub(super) waiting: usize,
}

pub(super) struct HashQueue {
    workers: usize,
    /// The memory of all running hashes together; `None` without a limit.
    memory_kib: Option<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    running: usize,
    running_slow: usize,
    running_kib: u64,
    running_large: usize,
    ordinary: VecDeque<Waiter>,
    slow: VecDeque<Waiter>,
    ordinary_since_slow: u32,
}

struct Waiter {
    id: u64,
    demand: Demand,
    start: oneshot::Sender<Permit>,
}

/// The right to run a hash; dropping it lets the next one start.
pub(super) struct Permit {
    queue: Arc<HashQueue>,
    /// `None` when it was never used.
    demand: Option<Demand>,
}

/// Removes a waiter whose request has ended or has waited too long.
struct Place<'a> {
    queue: &'a HashQueue,
    lane: Lane,
    id: u64,
}

impl HashQueue {
    pub(super) fn new(workers: usize, memory_kib: Option<u64>) -> Arc<Self> {
        Arc::new(Self { workers, memory_kib, state: Mutex::default() })
    }

    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    pub(super) fn state(&self) -> QueueState {
        let state = self.lock();
        QueueState { running: state.running, waiting: state.ordinary.len() + state.slow.len() }
    }

    /// Waits until a hash may start, until `deadline` at the latest.
    ///
    /// # Errors
    /// The expected wait, when it is too long; immediately if that is foreseeable.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        demand: Demand,
        deadline: Instant,
    ) -> Result<Permit, Duration> {
        let (mut started, _place) = {
            let mut state = self.lock();
            let expected = self.expected_wait(&state, demand.lane);
            if expected > deadline.saturating_duration_since(Instant::now()) {
                return Err(expected);
            }
            let (start, started) = oneshot::channel();
            let id = state.next_id;
            state.next_id += 1;
            state.lane(demand.lane).push_back(Waiter { id, demand, start });
            self.start_waiting(&mut state);
            (started, Place { queue: self, lane: demand.lane, id })
        };
        match tokio::time::timeout_at(deadline, &mut started).await {
            Ok(Ok(permit)) => Ok(permit),
            // Either the wait was too long or, at the same moment, the hash may start.
            _ => started
                .try_recv()
                .map_err(|_| self.expected_wait(&self.lock(), demand.lane).max(demand.duration)),
        }
    }

    /// Fails if an ordinary hash would have to wait for longer than `wait`.
    ///
    /// # Errors
    /// The expected wait.
    pub(super) fn check_capacity(&self, wait: Duration) -> Result<(), Duration> {
        let expected = self.expected_wait(&self.lock(), Lane::Ordinary);
        if expected > wait { Err(expected) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The workers that slow hashes may occupy while ordinary ones wait.
    fn slow_share(&self) -> usize {
        (self.workers / 2).max(1)
    }

    /// The time until everything that waits in this lane has started.
    fn expected_wait(&self, state: &State, lane: Lane) -> Duration {
        let total = |waiters: &VecDeque<Waiter>| -> Duration {
            waiters.iter().map(|waiter| waiter.demand.duration).sum()
        };
        let slow_present = !state.slow.is_empty() || state.running_slow > 0;
        let workers = match lane {
            Lane::Ordinary if slow_present => self.workers - self.slow_share(),
            Lane::Ordinary => self.workers,
            Lane::Slow if state.ordinary.is_empty() => self.workers,
            Lane::Slow => self.slow_share(),
        };
        let waiters = if lane == Lane::Slow { &state.slow } else { &state.ordinary };
        total(waiters) / u32::try_from(workers.max(1)).unwrap_or(u32::MAX)
    }

    /// Starts what may start now.
    fn start_waiting(self: &Arc<Self>, state: &mut State) {
        while state.running < self.workers {
            let Some(lane) = self.next_lane(state) else { return };
            let Some(waiter) = state.lane(lane).pop_front() else { return };
            state.add(&waiter.demand);
            let permit = Permit { queue: Arc::clone(self), demand: Some(waiter.demand) };
            if let Err(mut permit) = waiter.start.send(permit) {
                // Its request has just ended. Dropping the permit would lock the state again.
                permit.demand = None;
                state.remove(&waiter.demand);
            }
        }
    }

    /// The lane whose first hash starts next; `None` when none may start.
    fn next_lane(&self, state: &State) -> Option<Lane> {
        let slow = state.slow.front().filter(|waiter| self.fits(state, &waiter.demand));
        let ordinary = state.ordinary.front();
        let within_share = if self.workers == 1 {
            state.ordinary_since_slow >= FAST_PER_SLOW
        } else {
            state.running_slow < self.slow_share()
        };
        match (slow, ordinary) {
            (Some(_), None) => Some(Lane::Slow),
            (Some(_), Some(_)) if within_share => Some(Lane::Slow),
            // A large hash waits until there is enough memory: ordinary hashes must not take it away forever.
            (None, Some(_)) if self.lacks_memory_only(state) && within_share => None,
            (_, Some(waiter)) if self.fits(state, &waiter.demand) => Some(Lane::Ordinary),
            _ => None,
        }
    }

    fn lacks_memory_only(&self, state: &State) -> bool {
        state.slow.front().is_some_and(|waiter| {
            let may_be_large = !waiter.demand.is_large || state.running_large == 0;
            may_be_large && !self.has_memory(state, &waiter.demand)
        })
    }

    /// One large hash at a time, so that imported accounts do not multiply the memory that the server needs.
    fn fits(&self, state: &State, demand: &Demand) -> bool {
        !(demand.is_large && state.running_large > 0) && self.has_memory(state, demand)
    }

    /// A hash that needs more than all memory runs alone.
    fn has_memory(&self, state: &State, demand: &Demand) -> bool {
        self.memory_kib.is_none_or(|all| state.running == 0 || state.running_kib + demand.kib <= all)
    }
}

impl State {
    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Waiter> {
        match lane {
            Lane::Ordinary => &mut self.ordinary,
            Lane::Slow => &mut self.slow,
        }
    }

    fn add(&mut self, demand: &Demand) {
        self.running += 1;
        self.running_kib += demand.kib;
        self.running_large += usize::from(demand.is_large);
        if demand.lane == Lane::Slow {
            self.running_slow += 1;
            self.ordinary_since_slow = 0;
        } else {
            self.ordinary_since_slow = self.ordinary_since_slow.saturating_add(1);
        }
    }

    fn remove(&mut self, demand: &Demand) {
        self.running -= 1;
        self.running_kib -= demand.kib;
        self.running_large -= usize::from(demand.is_large);
        self.running_slow -= usize::from(demand.lane == Lane::Slow);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(demand) = self.demand.take() else { return };
        let mut state = self.queue.lock();
        state.remove(&demand);
        self.queue.start_waiting(&mut state);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.lock().lane(self.lane).retain(|waiter| waiter.id != self.id);
    }
}

#[cfg(test)]
#[path = "hash_queue_tests.rs"]
mod tests;

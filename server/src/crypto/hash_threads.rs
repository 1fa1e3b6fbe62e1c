//! The threads that compute password hashes. They have a lower priority than the threads that answer requests, so that a
//! storm of logins, which keeps every core busy, does not delay the other requests.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use rustix::process::setpriority_process;

/// A quarter of the weight of the other threads, so that logins also succeed while these use every core.
const NICE: i32 = 5;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that end when this is dropped.
pub(super) struct HashThreads(Sender<Job>);

impl HashThreads {
    /// # Errors
    /// A thread cannot be started. There are all threads or none: the queue lets as many hashes start as there should be
    /// threads.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        Self::start_with(count, |work| Builder::new().name("hash".to_owned()).spawn(work).map(drop))
    }

    fn start_with(count: usize, spawn: impl Fn(Job) -> io::Result<()>) -> io::Result<Self> {
        let (sender, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..count {
            let receiver = Arc::clone(&receiver);
            spawn(Box::new(move || run_jobs(&receiver)))?;
        }
        Ok(Self(sender))
    }

    /// Runs a job on the next free thread. A job that panics ends without a result.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        // The threads live as long as the sender.
        let _ = self.0.send(Box::new(job));
    }
}

fn run_jobs(jobs: &Mutex<Receiver<Job>>) {
    // On Linux this changes the calling thread only. Where it is forbidden the threads have equal priorities.
    let _ = setpriority_process(None, NICE);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic hook has logged a panic.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_survives_a_panic_and_has_a_lower_priority() {
        // The nice value is the 19th field, and the second one is the name in brackets.
        let nice = |stat: String| stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().to_owned();
        let stat = || std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let before = nice(stat());
        let threads = HashThreads::start(1).unwrap();
        threads.run(|| panic!("expected by the test"));
        let (sender, receiver) = channel();
        threads.run(move || sender.send(stat()).unwrap());
        assert_eq!(nice(receiver.recv_timeout(Duration::from_secs(10)).unwrap()), NICE.to_string());
        assert_eq!(nice(stat()), before);
    }

    #[test]
    fn if_a_thread_cannot_be_started_there_is_no_pool_and_those_before_it_end() {
        let (ended, ends) = channel();
        let left = std::cell::Cell::new(2_u32);
        let started = HashThreads::start_with(3, |work| {
            let next = left.get().checked_sub(1);
            left.set(next.ok_or(io::ErrorKind::WouldBlock)?);
            let ended = ended.clone();
            Builder::new().spawn(move || {
                work();
                ended.send(()).unwrap();
            })?;
            Ok(())
        });
        assert_eq!(started.err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
        for _ in 0..2 {
            ends.recv_timeout(Duration::from_secs(10)).unwrap();
        }
    }
}

//! The arrivals of an open loop: like those of independent clients, with exponentially distributed gaps.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::load::thread_seconds;

/// A generator of pseudo-random numbers (xorshift64*): every run has the same gaps.
struct Random(u64);

impl Random {
    /// In (0, 1].
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// Starts a thread that sends the time of each arrival when it has come. The timers of Tokio are rounded to milliseconds,
/// which is more than most requests take. The thread returns its CPU seconds.
pub fn start(
    begin: Instant,
    end: Instant,
    rate: f64,
    seed: usize,
) -> (UnboundedReceiver<Instant>, JoinHandle<f64>) {
    let (sender, receiver) = unbounded_channel();
    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (seed as u64 + 1));
    let mut gap = move || Duration::from_secs_f64(-random.next().ln() / rate);
    let thread = std::thread::spawn(move || {
        let mut next = begin + gap();
        while next < end {
            loop {
                let wait = next.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    break;
                }
                std::thread::park_timeout(wait);
            }
            // Nothing receives it any more if the load has failed.
            if sender.send(next).is_err() {
                break;
            }
            next += gap();
        }
        thread_seconds()
    });
    (receiver, thread)
}

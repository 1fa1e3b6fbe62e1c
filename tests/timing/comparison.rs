//! Compares the durations of two requests on a machine that also runs other programs.
//!
//! The two requests alternate, so that other programs affect both equally. Other programs can only add to a duration,
//! so only the faster half of each sample is compared, as an attacker would do. Resampling (the bootstrap) gives the
//! confidence interval of the difference of the means. The durations are
//!
//! - equal, if the interval lies within a tenth of a hash on either side;
//! - different, if it lies beyond half of that, twice;
//! - otherwise more samples are needed.
//!
//! Two clocks are read. An attacker has the client's clock. If a busy machine makes that one useless, the CPU time of
//! the server decides, which other programs do not affect.

use std::fmt;
use std::time::Instant;

use latchkey_tests::server::Server;

/// A difference of this fraction of a hash must be detected.
const TOLERATED: f64 = 0.1;
/// The pairs of requests between two comparisons.
const BATCH: u64 = 40;
/// After this number of pairs the CPU time decides alone, unless the client's clock has shown a difference.
const PATIENCE: u64 = 160;
const MOST_PAIRS: u64 = 800;
const RESAMPLES: usize = 1_000;
/// The number of resampled differences outside the interval on either side, which then is the 99.6 % interval.
const OUTSIDE: usize = 2;

/// The seconds of each request, by the client's clock and in CPU time of the server.
#[derive(Debug, Default)]
struct Times {
    wall: Vec<f64>,
    processor: Vec<f64>,
}

impl Times {
    async fn add(&mut self, server: &Server, request: impl Future<Output = ()>) {
        let (before, begun) = (server.processor_seconds(), Instant::now());
        request.await;
        self.wall.push(begun.elapsed().as_secs_f64());
        self.processor.push(server.processor_seconds() - before);
    }
}

/// The mean of the faster half, without the fastest few, which may be errors of the clock.
fn fast_mean(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    let kept = &times[times.len() / 50..times.len() / 2];
    kept.iter().sum::<f64>() / precise(kept.len())
}

#[expect(clippy::cast_precision_loss, reason = "some thousands at most")]
fn precise(number: usize) -> f64 {
    number as f64
}

/// Pseudo-random numbers that are the same in every run (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        // Otherwise small seeds start with small numbers.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).expect("31 bits") % limit
    }

    fn resample(&mut self, times: &[f64]) -> Vec<f64> {
        (0..times.len()).map(|_| times[self.below(times.len())]).collect()
    }
}

/// The difference between the second and the first, and its confidence interval, as fractions of a hash.
#[derive(Debug, Clone, Copy)]
struct Difference {
    found: f64,
    low: f64,
    high: f64,
}

impl Difference {
    /// `tolerated` is a tenth of a hash in seconds.
    fn of(known: &[f64], unknown: &[f64], tolerated: f64) -> Self {
        let of = |known: &mut [f64], unknown: &mut [f64]| {
            (fast_mean(unknown) - fast_mean(known)) / tolerated * TOLERATED
        };
        let mut dice = Dice::new(1);
        let mut resampled: Vec<_> =
            (0..RESAMPLES).map(|_| of(&mut dice.resample(known), &mut dice.resample(unknown))).collect();
        resampled.sort_by(f64::total_cmp);
        let found = of(&mut known.to_vec(), &mut unknown.to_vec());
        Self { found, low: resampled[OUTSIDE], high: resampled[RESAMPLES - 1 - OUTSIDE] }
    }

    /// Whether they are equal; `None` if more samples are needed.
    fn same(self) -> Option<bool> {
        if self.low > -TOLERATED && self.high < TOLERATED {
            Some(true)
        } else if self.low > TOLERATED / 2.0 || self.high < -TOLERATED / 2.0 {
            Some(false)
        } else {
            None
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [found, low, high] = [self.found, self.low, self.high].map(|part| part * 100.0);
        write!(f, "{found:+.1} % ({low:+.1} to {high:+.1})")
    }
}

/// A comparison of two requests.
pub struct Comparison<'a> {
    /// Its name in the message.
    pub what: &'a str,
    /// The server that responds.
    pub server: &'a Server,
    /// Whether the server completes all work for a request before the response. If not, its CPU time does not show the
    /// time of the response.
    pub completes_before_response: bool,
}

impl Comparison<'_> {
    /// Asserts that the durations of `known` and `unknown` differ by less than a tenth of the duration of `hash`. Each
    /// call receives another number.
    ///
    /// # Panics
    /// When they do not.
    pub async fn assert_same(
        &self,
        hash: impl AsyncFn(),
        known: impl AsyncFn(u64),
        unknown: impl AsyncFn(u64),
    ) {
        let mut hashes = Times::default();
        for _ in 0..BATCH {
            hashes.add(self.server, hash()).await;
        }
        let tolerated = Tolerated {
            wall: TOLERATED * fast_mean(&mut hashes.wall),
            processor: TOLERATED * fast_mean(&mut hashes.processor),
        };
        // One result may be a false positive; a real difference is found again.
        let Err(first) = self.compare(&tolerated, &known, &unknown).await else { return };
        if let Err(second) = self.compare(&tolerated, &known, &unknown).await {
            panic!("{first}\n{second}");
        }
    }

    async fn compare(
        &self,
        tolerated: &Tolerated,
        known: &impl AsyncFn(u64),
        unknown: &impl AsyncFn(u64),
    ) -> Result<(), String> {
        let (mut knowns, mut unknowns) = (Times::default(), Times::default());
        for number in 0..MOST_PAIRS {
            // Neither request is always the first one.
            if number % 2 == 0 {
                knowns.add(self.server, known(number)).await;
                unknowns.add(self.server, unknown(number)).await;
            } else {
                unknowns.add(self.server, unknown(number)).await;
                knowns.add(self.server, known(number)).await;
            }
            let pairs = number + 1;
            if !pairs.is_multiple_of(BATCH) {
                continue;
            }
            let wall = Difference::of(&knowns.wall, &unknowns.wall, tolerated.wall);
            let processor = Difference::of(&knowns.processor, &unknowns.processor, tolerated.processor);
            let words = format!(
                "{}: after {pairs} pairs, unknown differs from known by {wall} of a hash, in CPU time by {processor}",
                self.what
            );
            let (by_wall, by_processor) =
                (wall.same(), if self.completes_before_response { processor.same() } else { None });
            let same = match (by_wall, by_processor) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                (Some(true), None) if !self.completes_before_response => Some(true),
                (None, Some(true)) if pairs >= PATIENCE => Some(true),
                _ if pairs == MOST_PAIRS => {
                    let judge = if self.completes_before_response { processor } else { wall };
                    Some(judge.found.abs() < TOLERATED)
                }
                _ => None,
            };
            match same {
                Some(true) => {
                    print(&words);
                    return Ok(());
                }
                Some(false) => return Err(words),
                None => {}
            }
        }
        Err("unreachable: the last pair decides".to_owned())
    }
}

/// A tenth of a hash, in seconds by each clock.
struct Tolerated {
    wall: f64,
    processor: f64,
}

#[expect(clippy::print_stderr, reason = "shown with --nocapture, to see how close the result was")]
fn print(words: &str) {
    eprintln!("{words}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of 16 ms with the noise of a busy machine: always a little, and sometimes much more.
    fn noisy(dice: &mut Dice, pairs: usize, added: f64) -> Vec<f64> {
        let mut unit = || precise(dice.below(1_000_000)) / 1e6;
        let mut one = || {
            let spike = if unit() < 0.2 { unit() * 0.05 } else { 0.0 };
            0.016 + added + unit() * 0.004 + spike
        };
        (0..pairs).map(|_| one()).collect()
    }

    /// The result if the second of each pair takes `added` more seconds.
    fn verdict(seed: u64, added: f64) -> Option<bool> {
        let mut dice = Dice::new(seed);
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            known.extend(noisy(&mut dice, 40, 0.0));
            unknown.extend(noisy(&mut dice, 40, added));
            let same = Difference::of(&known, &unknown, 0.0016).same();
            if same.is_some() {
                return same;
            }
        }
        None
    }

    #[test]
    fn a_tenth_of_a_hash_is_detected_in_noise_and_no_other_difference_is_reported() {
        for seed in 1..=20 {
            assert_eq!(verdict(seed, 0.0016), Some(false), "seed {seed}");
            assert_eq!(verdict(seed, -0.0016), Some(false), "seed {seed}");
            assert_eq!(verdict(seed, 0.0), Some(true), "seed {seed}");
        }
    }
}

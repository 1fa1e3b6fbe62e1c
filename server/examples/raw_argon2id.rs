//! A baseline of `make bench`: the maximum rate of argon2id hashes with Latchkey's parameters on all cores.

use std::io::Write as _;
use std::time::{Duration, Instant};

use argon2::{Argon2, Block};

fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let until = Duration::from_secs(seconds);
    let threads = std::thread::available_parallelism()?.get();
    let started = Instant::now();
    let hashes: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(move || {
                    let argon2 = Argon2::default();
                    let mut memory = vec![Block::default(); argon2.params().block_count()];
                    let mut output = [0_u8; 32];
                    let mut done = 0;
                    while started.elapsed() < until {
                        if argon2
                            .hash_password_into_with_memory(
                                b"correct horse",
                                &[7; 16],
                                &mut output,
                                &mut memory,
                            )
                            .is_ok()
                        {
                            done += 1;
                        }
                    }
                    done
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(0)).sum()
    });
    #[expect(clippy::cast_precision_loss, reason = "a count of some thousand")]
    let rate = hashes as f64 / started.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{rate:.1}")?;
    Ok(())
}

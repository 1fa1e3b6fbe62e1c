//! The time from the start of the process to readiness.

use std::time::Instant;

use super::Bench;
use crate::figure::{Figure, Samples, Target};
use crate::progress;
use crate::replica::Replica;

/// Each is short.
const STARTS: usize = 5;

impl Bench<'_> {
    /// Starts another server on the same stores, several times.
    pub async fn start_to_ready(&mut self) -> anyhow::Result<()> {
        progress("starting servers");
        let mut times = Samples::default();
        for _ in 0..STARTS {
            let begin = Instant::now();
            let mut replica = Replica::start_alone(&self.stack.variables)?;
            times.push(replica.time_to_ready(begin).await?.as_secs_f64() * 1000.0);
        }
        let figure = Figure::new("start to ready, with the schema in place", "ms", times);
        self.results.add(figure.target(Target::Under(40.0)));
        Ok(())
    }
}

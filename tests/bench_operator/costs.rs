//! The cost of the operator at several numbers of AuthServices, as a table.

use std::time::Duration;

use latchkey_tests::process::Memory;

const MEBI: f64 = 1024.0 * 1024.0;

/// The cost of one run.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// The number of AuthServices.
    pub count: usize,
    /// All requests that the API server counted until all were Ready, without watches.
    pub requests: u64,
    /// Writes of the operator until all were Ready.
    pub writes: usize,
    /// CPU time of the operator until all were Ready, in seconds.
    pub busy: f64,
    pub correct: Duration,
    pub ready: Duration,
    /// Memory of an operator without an AuthService, and when all are ready.
    pub empty: Memory,
    pub loaded: Memory,
    /// The share of a processor that the operator uses in the steady state.
    pub steady: f64,
    /// The time in which a restarted operator reconciles all.
    pub restart: Duration,
}

impl Costs {
    /// Prints one line for each run; linear growth shows as equal figures of each AuthService.
    pub fn print(all: &[Self]) {
        crate::say(
            "\n| AuthServices | requests of each | writes of each | operator CPU of each | memory | memory of each | all correct | all Ready | steady CPU | restart |",
        );
        crate::say("|---|---|---|---|---|---|---|---|---|---|");
        for costs in all {
            crate::say(&costs.line());
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "rounded figures")]
    fn line(&self) -> String {
        let each = |whole: f64| whole / self.count.max(1) as f64;
        let growth = self.loaded.resident.saturating_sub(self.empty.resident) as f64;
        format!(
            "| {} | {:.1} | {:.1} | {:.0} ms | {:.0} MB | {:.0} KB | {:.1} s | {:.1} s | {:.1}% | {:.1} s |",
            self.count,
            each(self.requests as f64),
            each(self.writes as f64),
            1000.0 * each(self.busy),
            self.loaded.resident as f64 / MEBI,
            each(growth) / 1024.0,
            self.correct.as_secs_f64(),
            self.ready.as_secs_f64(),
            100.0 * self.steady,
            self.restart.as_secs_f64(),
        )
    }
}

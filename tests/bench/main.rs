//! Measures the server with real stores, beside the most that the machine allows in the same run: `make bench`. It is not
//! a test, and only fails on errors. See docs/reference/performance.md.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "figures are rounded"
)]
#![expect(clippy::format_collect, clippy::format_push_string, reason = "short texts")]

mod ceilings;
mod connection;
mod cpu;
mod data;
mod figure;
mod flows;
mod instance;
mod keycloak;
mod load;
mod options;
mod pacer;
mod page;
mod replica;
mod results;
mod rows;
mod scaling;
mod stack;
mod svg;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use options::Options;
use results::Results;

/// Prints a line of progress.
#[expect(clippy::print_stderr, reason = "the progress of this program")]
fn progress(line: &str) {
    eprintln!("{line}");
}

/// Prints a line of the results.
#[expect(clippy::print_stdout, reason = "the output of this program")]
fn say(line: &str) {
    println!("{line}");
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_some_and(|argument| argument == ceilings::PLAIN) {
        let address = arguments.next().unwrap_or_default();
        return code(&runtime.block_on(ceilings::answer_plainly(&address)));
    }
    let options = Options::read();
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = bench(&options) => outcome,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
            _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
        }
    });
    // A load that was interrupted runs to its end otherwise.
    runtime.shutdown_background();
    code(&outcome)
}

fn code(outcome: &anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn bench(options: &Options) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut results = Results::new(options);
    let outcome = rows::measure(options, &mut results).await;
    results.seconds = begin.elapsed().as_secs_f64();
    // What was measured before an error is printed as well.
    say(&table::text(&results));
    results.write(options)?;
    outcome
}

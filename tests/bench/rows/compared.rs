//! The same loads on two databases of different sizes, in turn.

use crate::data::Size;
use crate::figure::{Figure, Samples, Target};
use crate::options::Options;
use crate::progress;
use crate::results::Results;
use crate::stack::{Call, Stack};

/// What is compared of a load.
#[derive(Clone, Copy)]
enum Value {
    Rate,
    /// CPU microseconds of the server for a request.
    ServerMicros,
}

/// The CPU time of `/me` with few and many revocations.
pub async fn revocations(options: &Options, results: &mut Results) -> anyhow::Result<()> {
    let many = if options.quick { 10_000 } else { 1_000_000 };
    let size = |revocations| Size { users: 1_000, sessions: 50_000, revocations };
    let mut pair = Pair::start(options, size(100), size(many)).await?;
    let name = format!("CPU time of GET /me in the server, with {} revocations", thousands(many));
    results.add(pair.compare(Call::Me, Value::ServerMicros, &name, "with 100 revocations", 0.05).await?);
    Ok(())
}

/// The rates of calls with few and many accounts.
pub async fn users(options: &Options, results: &mut Results) -> anyhow::Result<()> {
    let many = if options.quick { 20_000 } else { 1_000_000 };
    // The sessions of the load are a part of those with few accounts.
    let few = Size { users: 1_000, sessions: 50_000, revocations: 100 };
    let large = Size { users: many, sessions: many, revocations: 100 };
    let mut pair = Pair::start(options, few, large).await?;
    for call in [Call::Me, Call::Login, Call::Refresh] {
        let name = format!("{} per second with {} accounts", call.name(), thousands(many));
        let figure = pair.compare(call, Value::Rate, &name, "with 1,000 accounts", 0.1).await?;
        results.add(figure);
    }
    Ok(())
}

fn thousands(number: i32) -> String {
    crate::figure::number(f64::from(number))
}

/// Two stacks, of which one is idle while the other is measured.
struct Pair<'a> {
    options: &'a Options,
    small: Stack,
    large: Stack,
}

impl<'a> Pair<'a> {
    async fn start(options: &'a Options, small: Size, large: Size) -> anyhow::Result<Self> {
        progress(&format!("comparing {small:?} and {large:?}"));
        let small = Stack::start(options, small).await?;
        let large = Stack::start(options, large).await?;
        Ok(Self { options, small, large })
    }

    async fn compare(
        &mut self,
        call: Call,
        value: Value,
        name: &str,
        small_name: &str,
        tolerance: f64,
    ) -> anyhow::Result<Figure> {
        let (mut small, mut large) = (Samples::default(), Samples::default());
        for _ in 0..self.options.runs {
            for (stack, samples) in [(&mut self.small, &mut small), (&mut self.large, &mut large)] {
                let (report, micros) = stack.saturate(call, 0).await?;
                samples.push(match value {
                    Value::Rate => report.rate(),
                    Value::ServerMicros => micros,
                });
            }
        }
        let unit = match value {
            Value::Rate => "",
            Value::ServerMicros => "µs",
        };
        let figure = Figure::new(name, unit, large).beside(small_name, &small);
        Ok(figure.target(Target::RatioNearOne(tolerance)))
    }
}

//! Requests per second in a closed loop, each beside its ceiling.

use std::collections::BTreeMap;

use super::Bench;
use crate::figure::{Figure, Samples, Target, number};
use crate::load::{Pace, Report};
use crate::options::Row;
use crate::results::Saturation;
use crate::stack::Call;
use crate::{ceilings, progress};

/// The measurements of a call.
#[derive(Default)]
struct Series {
    rate: Samples,
    ceiling: Samples,
    server_micros: Samples,
    generator_micros: Samples,
    median: Samples,
    p99: Samples,
}

impl Series {
    fn push(&mut self, (report, micros): &(Report, f64), ceiling: f64) {
        self.rate.push(report.rate());
        self.ceiling.push(ceiling);
        self.server_micros.push(*micros);
        self.generator_micros.push(report.generator_micros());
        self.median.push(report.latency(0.5));
        self.p99.push(report.latency(0.99));
    }

    fn note(&self) -> String {
        format!(
            "CPU µs a request: server {}, load generator {}; median {} ms, 99th percentile {} ms in the closed loop",
            number(self.server_micros.median()),
            number(self.generator_micros.median()),
            number(self.median.median()),
            number(self.p99.median())
        )
    }
}

/// The figure of a call: its name, that of its ceiling, and the least ratio.
const FIGURES: [(Call, &str, &str, f64); 7] = [
    (Call::Login, "password logins per second", "argon2id alone on all cores", 0.93),
    (Call::Me, "GET /me per second", "plain axum response", 0.55),
    (Call::Verify, "GET /verify per second", "plain axum response", 0.60),
    (Call::Introspect, "POST /introspect per second", "plain axum response", 0.50),
    (Call::ClientToken, "client-credentials tokens per second, with ES256", "plain axum response", 0.25),
    (Call::Refresh, "POST /refresh per second", "bare durable transaction", 0.90),
    (Call::Logout, "POST /logout per second", "bare durable transaction", 0.85),
];

fn row(call: Call) -> Row {
    match call {
        Call::Login => Row::Logins,
        Call::Me => Row::Me,
        Call::Verify => Row::Verify,
        Call::Introspect => Row::Introspect,
        Call::ClientToken => Row::ClientTokens,
        Call::Refresh => Row::Refresh,
        Call::Logout => Row::Logout,
    }
}

impl Bench<'_> {
    /// Measures each call and its ceiling in turn, several times.
    pub async fn throughput(&mut self) -> anyhow::Result<()> {
        let options = self.options;
        let mut all: BTreeMap<&'static str, Series> = BTreeMap::new();
        let (mut plain, mut updates) = (Series::default(), Series::default());
        let mut redis = Samples::default();
        let wanted = |calls: &[Call]| -> Vec<Call> {
            calls.iter().copied().filter(|call| options.wants(row(*call))).collect()
        };
        for run in 1..=options.runs {
            progress(&format!("throughput: run {run} of {}", options.runs));
            if options.wants(Row::Logins) {
                let ceiling = ceilings::argon2id(options.duration()).await?;
                let measured = self.stack.saturate(Call::Login, 0).await?;
                all.entry(Call::Login.name()).or_default().push(&measured, ceiling);
            }
            let reads = wanted(&[Call::Me, Call::Verify, Call::Introspect, Call::ClientToken]);
            if !reads.is_empty() {
                let answer = self.plain.run(options, Call::Me.connections(), Pace::Closed).await?;
                let ceiling = answer.0.rate();
                plain.push(&answer, ceiling);
                for call in reads {
                    let measured = self.stack.saturate(call, 0).await?;
                    all.entry(call.name()).or_default().push(&measured, ceiling);
                }
            }
            let writes = wanted(&[Call::Refresh, Call::Logout]);
            if !writes.is_empty() {
                let ceiling = ceilings::durable_updates(self.stack.postgres(), options.duration()).await?;
                updates.push(&self.plain.run_updates(options, Call::Refresh.connections()).await?, ceiling);
                for call in writes {
                    let most = self.most_logouts(ceiling);
                    let measured = self.stack.saturate(call, most).await?;
                    anyhow::ensure!(measured.0.total <= most as u64, "too few sessions for logouts");
                    all.entry(call.name()).or_default().push(&measured, ceiling);
                }
            }
            if options.wants(Row::Redis) {
                let server = self.stack.redis_of(&ceilings::redis_prefix()).await;
                redis.push(ceilings::redis_reads(server, options.duration()).await?);
            }
        }
        for (call, name, ceiling, least) in FIGURES {
            let Some(series) = all.get(call.name()) else { continue };
            let figure = Figure::new(name, "", series.rate.clone()).beside(ceiling, &series.ceiling);
            self.results.add(figure.target(Target::RatioAtLeast(least)).note(series.note()));
        }
        self.results.saturations = all
            .iter()
            .map(|(request, series)| Saturation {
                request,
                rate: series.rate.median(),
                generator_micros: series.generator_micros.median(),
            })
            .collect();
        self.logins = all.get(Call::Login.name()).map(|series| series.rate.median());
        self.reads = all.get(Call::Me.name()).map(|series| series.rate.median());
        if !plain.rate.is_empty() {
            let figure = Figure::new("plain axum response per second", "", plain.rate.clone());
            self.results.add(figure.note(plain.note()));
        }
        if !updates.rate.is_empty() {
            let figure =
                Figure::new("the same transaction behind a plain axum handler", "", updates.rate.clone());
            self.results
                .add(figure.beside("bare durable transaction", &updates.ceiling).note(updates.note()));
        }
        if !redis.is_empty() {
            self.results.add(
                Figure::new("Redis round trips per second", "", redis)
                    .note("MGET of three keys, as /me needs, by 32 clients that share a connection"),
            );
        }
        Ok(())
    }

    /// More logouts than a load can need: each is a durable transaction.
    fn most_logouts(&self, ceiling: f64) -> i64 {
        let seconds = (self.options.duration() + self.options.warm_up()).as_secs_f64();
        (ceiling * seconds * 1.5) as i64 + 1_000
    }

    /// Profile reads per second.
    pub async fn read_capacity(&mut self) -> anyhow::Result<f64> {
        if self.reads.is_none() {
            self.reads = Some(self.stack.saturate(Call::Me, 0).await?.0.rate());
        }
        Ok(self.reads.unwrap_or_default())
    }

    /// Logins per second.
    pub async fn login_capacity(&mut self) -> anyhow::Result<f64> {
        if self.logins.is_none() {
            self.logins = Some(self.stack.saturate(Call::Login, 0).await?.0.rate());
        }
        Ok(self.logins.unwrap_or_default())
    }
}

//! The measured section of docs/explanation/scaling.md: what other rates need, computed from the measured costs.

use crate::figure::number;
use crate::results::{Cost, Results};

/// Servers and databases are not planned to be busier than this.
const UTILISATION: f64 = 0.7;

const MEGA: f64 = 1e6;

/// The request and the rate of each question.
const QUESTIONS: [(&str, f64); 5] =
    [("login", 1e3), ("login", 1e4), ("refresh", 1e4), ("client token", 1e4), ("/me", 1e6)];

/// The section.
pub fn section(results: &Results) -> String {
    let costs: String = results.costs.iter().map(cost_row).collect();
    let questions: String = QUESTIONS.iter().filter_map(|question| answer(results, *question)).collect();
    let checks: String = results.costs.iter().filter_map(|cost| check(results, cost)).collect();
    let login = results.costs.iter().find(|cost| cost.request == "login");
    let example = login.map(|cost| example(cost, 1e3)).unwrap_or_default();
    format!(
        "\nMeasured on {} ({}).\n\n\
         | request | CPU µs: server | PostgreSQL | Redis | SQL statements | durable transactions | WAL bytes | \
         PostgreSQL bytes | Redis round trips | Redis bytes |\n|---|---|---|---|---|---|---|---|---|---|\n{costs}\n\
         {example}\n\n\
         | load | server cores | PostgreSQL cores | Redis cores | durable transactions a second | WAL MB/s | \
         network MB/s: PostgreSQL | Redis |\n|---|---|---|---|---|---|---|---|\n{questions}\n\
         The model is checked on the machine of the measurement. There all programs share the cores, so the model predicts \
         a capacity of cores / (CPU time of one request in the server, PostgreSQL, Redis and the load generator):\n\n\
         | request | predicted per second | measured | measured / predicted |\n|---|---|---|---|\n{checks}\n",
        results.date, results.machine
    )
}

fn cost_row(cost: &Cost) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        cost.request,
        number(cost.server_micros),
        number(cost.postgres_micros),
        number(cost.redis_micros),
        number(cost.statements),
        number(cost.transactions),
        number(cost.wal_bytes),
        number(cost.postgres_bytes),
        number(cost.redis_round_trips),
        number(cost.redis_bytes)
    )
}

fn example(cost: &Cost, rate: f64) -> String {
    format!(
        "The arithmetic, for {} logins per second: {} a second × {} µs = {} busy cores; at {:.0}% utilisation {} cores of \
         servers. PostgreSQL likewise: {} × {} µs / {:.0}% = {} cores.",
        number(rate),
        number(rate),
        number(cost.server_micros),
        number(rate * cost.server_micros / MEGA),
        100.0 * UTILISATION,
        number(cores(rate, cost.server_micros)),
        number(rate),
        number(cost.postgres_micros),
        100.0 * UTILISATION,
        number(cores(rate, cost.postgres_micros))
    )
}

fn cores(rate: f64, micros: f64) -> f64 {
    rate * micros / MEGA / UTILISATION
}

fn answer(results: &Results, (request, rate): (&str, f64)) -> Option<String> {
    let cost = results.costs.iter().find(|cost| cost.request == request)?;
    Some(format!(
        "| {} × {request} per second | {} | {} | {} | {} | {} | {} | {} |\n",
        number(rate),
        number(cores(rate, cost.server_micros)),
        number(cores(rate, cost.postgres_micros)),
        number(cores(rate, cost.redis_micros)),
        number(rate * cost.transactions),
        number(rate * cost.wal_bytes / MEGA),
        number(rate * cost.postgres_bytes / MEGA),
        number(rate * cost.redis_bytes / MEGA)
    ))
}

fn check(results: &Results, cost: &Cost) -> Option<String> {
    let measured = results.saturations.iter().find(|saturation| saturation.request == cost.request)?;
    let micros = cost.server_micros + cost.postgres_micros + cost.redis_micros + measured.generator_micros;
    let predicted = results.cores as f64 * MEGA / micros;
    let ratio = measured.rate / predicted;
    let (request, rate) = (cost.request, measured.rate);
    Some(format!("| {request} | {} | {} | {} |\n", number(predicted), number(rate), number(ratio)))
}

//! The results as a table on the terminal.

use crate::figure::number;
use crate::results::{Cost, Results};

/// The header of the table.
pub const HEADER: [&str; 6] = ["figure", "measured", "ceiling in the same run", "ratio", "target", "reached"];

/// The header of the table of costs.
pub const COSTS: [&str; 11] = [
    "request",
    "server CPU µs",
    "SQL statements",
    "durable transactions",
    "PostgreSQL CPU µs",
    "WAL bytes",
    "PostgreSQL bytes sent and received",
    "Redis round trips",
    "Redis commands, also in scripts",
    "Redis CPU µs",
    "Redis bytes sent and received",
];

/// The cells of a row of the table of costs.
pub fn cost_cells(cost: &Cost) -> [String; 11] {
    [
        cost.request.to_owned(),
        number(cost.server_micros),
        number(cost.statements),
        number(cost.transactions),
        number(cost.postgres_micros),
        number(cost.wal_bytes),
        number(cost.postgres_bytes),
        number(cost.redis_round_trips),
        number(cost.redis_commands),
        number(cost.redis_micros),
        number(cost.redis_bytes),
    ]
}

/// The whole text.
pub fn text(results: &Results) -> String {
    let mut text = format!("\n{}; {}\n\n", results.machine, results.setup);
    let rows: Vec<Vec<String>> = results.figures.iter().map(|figure| figure.cells().to_vec()).collect();
    if !rows.is_empty() {
        text.push_str(&aligned(&HEADER, &rows));
    }
    for figure in results.figures.iter().filter(|figure| !figure.note.is_empty()) {
        text.push_str(&format!("\n{}: {}", figure.name, figure.note));
    }
    if !results.costs.is_empty() {
        let rows: Vec<Vec<String>> = results.costs.iter().map(|cost| cost_cells(cost).to_vec()).collect();
        text.push_str(&format!("\n\nwhat one request costs\n{}", aligned(&COSTS, &rows)));
    }
    text.push_str(&format!("\n\nmeasured in {:.0} s", results.seconds));
    text
}

fn aligned(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let lines = std::iter::once(&header).chain(rows).map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

//! The measured sections of the documentation.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::results::Results;
use crate::table::HEADER;

const BEGIN: &str = "<!-- make bench writes from here -->\n";
const END: &str = "<!-- to here -->\n";

/// Replaces the section between the markers.
pub fn write(file: &Path, section: &str) -> anyhow::Result<()> {
    let page = fs::read_to_string(file)?;
    let (before, rest) = page.split_once(BEGIN).context("the page has no marker of the beginning")?;
    let (_, after) = rest.split_once(END).context("the page has no marker of the end")?;
    fs::write(file, format!("{before}{BEGIN}{section}{END}{after}"))?;
    Ok(())
}

/// The section of the reference.
pub fn section(results: &Results) -> String {
    let rows: Vec<Vec<String>> = results.figures.iter().map(|figure| figure.cells().to_vec()).collect();
    let notes: String = results
        .figures
        .iter()
        .filter(|figure| !figure.note.is_empty())
        .map(|figure| format!("- {}: {}\n", figure.name, figure.note))
        .collect();
    format!(
        "\n{}: {}; {}. Load average before: {:.1}.\n\n{}\n{notes}\n\
         ![Latency of GET /me over the load](latency.svg)\n\n",
        results.date,
        results.machine,
        results.setup,
        results.load_average_before,
        table(&HEADER, &rows)
    )
}

fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = header.iter().map(ToString::to_string).collect();
    let rule = "|---".repeat(header.len()) + "|\n";
    line(&head) + &rule + &rows.iter().map(|row| line(row)).collect::<String>()
}

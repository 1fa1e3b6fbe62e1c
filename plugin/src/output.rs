//! Writing to the terminal: colours, tables, JSON and YAML.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::cli::{Color, Format};
use crate::failure::Failure;

/// The colour of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// No colour.
    Plain,
    /// As it should be.
    Good,
    /// In progress, or worth a look.
    Notice,
    /// A fault.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
    /// One of several colours, to tell pods apart.
    Number(usize),
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        const NUMBERED: [&str; 6] = ["36", "35", "34", "33", "32", "96"];
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Notice => Some("33"),
            Self::Bad => Some("31"),
            Self::Faint => Some("2"),
            Self::Strong => Some("1"),
            Self::Number(number) => Some(NUMBERED[number % NUMBERED.len()]),
        }
    }
}

/// A text with its colour.
#[derive(Debug, Clone)]
pub struct Cell(String, Tone);

impl Cell {
    /// A cell. Control characters, which could change the terminal, are shown as `?`.
    pub fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self(printable(text.as_ref()), tone)
    }

    /// A cell without colour.
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// The text on one line, with each control character as `?`.
pub fn printable(text: &str) -> String {
    let one_line = text.trim().replace(['\n', '\r', '\t'], " ");
    one_line.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// Writes to standard output and standard error.
#[derive(Debug)]
pub struct Printer {
    out_is_coloured: bool,
    err_is_coloured: bool,
}

impl Printer {
    /// A printer that colours its output as this option says.
    pub fn new(color: Color) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let decide = |is_terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && !no_color,
        };
        Self {
            out_is_coloured: decide(std::io::stdout().is_terminal()),
            err_is_coloured: decide(std::io::stderr().is_terminal()),
        }
    }

    /// The text in its colour.
    pub fn paint(&self, text: &str, tone: Tone) -> String {
        painted(text, tone, self.out_is_coloured)
    }

    /// A table whose columns have the width of their widest cell, with two spaces between them.
    pub fn table(&self, rows: &[Vec<Cell>]) -> String {
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.0.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in rows {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                line += &self.paint(&cell.0, cell.1);
                if at + 1 < row.len() {
                    line += &" ".repeat(widths[at] - cell.0.chars().count() + 2);
                }
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// Writes a text to standard output.
    #[expect(clippy::unused_self, reason = "all output goes through the printer")]
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| Failure::Failed(format!("the output cannot be written: {error}")))
    }

    /// Writes a value in a format.
    pub fn structured(&self, value: &impl Serialize, format: Format) -> Result<(), Failure> {
        let failed = |error: String| Failure::Failed(format!("the result cannot be written: {error}"));
        let text = match format {
            Format::Json => {
                serde_json::to_string_pretty(value).map_err(|error| failed(error.to_string()))? + "\n"
            }
            Format::Yaml => serde_yaml_ng::to_string(value).map_err(|error| failed(error.to_string()))?,
        };
        self.print(&text)
    }

    /// Writes a line about the progress to standard error.
    pub fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{}", painted(text, Tone::Faint, self.err_is_coloured));
    }

    /// Writes a line for each of these to standard error.
    pub fn notes(&self, texts: &[impl Display]) {
        for text in texts {
            self.note(&printable(&text.to_string()));
        }
    }

    /// Writes why the command failed to standard error.
    pub fn error(&self, failure: &Failure) {
        let prefix = painted("error:", Tone::Bad, self.err_is_coloured);
        let _ = writeln!(std::io::stderr(), "{prefix} {failure}");
    }
}

fn painted(text: &str, tone: Tone, is_coloured: bool) -> String {
    match tone.code() {
        Some(code) if is_coloured && !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_is_visible() {
        for coloured in [false, true] {
            let printer = Printer { out_is_coloured: coloured, err_is_coloured: coloured };
            let rows = [
                vec![Cell::new("é", Tone::Good), Cell::plain("b")],
                vec![Cell::plain("long"), Cell::new("", Tone::Bad)],
            ];
            let text = printer.table(&rows).replace("\x1b[32m", "").replace("\x1b[0m", "");
            assert_eq!(text, "é     b\nlong\n");
        }
    }

    #[test]
    fn a_text_of_the_cluster_cannot_control_the_terminal() {
        assert_eq!(printable("a\nb\x1b[31mc\u{9b}d"), "a b?[31mc?d");
    }
}

//! The results of the checks.

use serde::Serialize;

use crate::output::{Cell, Printer, Tone};

/// The result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It works.
    Passed,
    /// It may work; the message says what to look at.
    Warning,
    /// It would fail.
    Failed,
    /// It cannot be checked from here.
    Unknown,
}

/// One check with its result.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub area: &'static str,
    pub subject: String,
    pub outcome: Outcome,
    pub message: String,
}

/// All results.
#[derive(Debug, Default)]
pub struct Findings {
    pub list: Vec<Finding>,
}

impl Findings {
    /// Adds a result.
    pub fn add(
        &mut self,
        area: &'static str,
        subject: impl Into<String>,
        outcome: Outcome,
        message: impl Into<String>,
    ) {
        self.list.push(Finding { area, subject: subject.into(), outcome, message: message.into() });
    }

    /// Whether a check has this result.
    pub fn has(&self, outcome: Outcome) -> bool {
        self.list.iter().any(|finding| finding.outcome == outcome)
    }

    /// The results as a table with a summary.
    pub fn render(&self, printer: &Printer) -> String {
        let row = |finding: &Finding| {
            let (word, tone) = match finding.outcome {
                Outcome::Passed => ("ok", Tone::Good),
                Outcome::Warning => ("warning", Tone::Notice),
                Outcome::Failed => ("FAILED", Tone::Bad),
                Outcome::Unknown => ("unknown", Tone::Faint),
            };
            vec![
                Cell::new(word, tone),
                Cell::plain(finding.area),
                Cell::plain(&finding.subject),
                Cell::plain(&finding.message),
            ]
        };
        let count = |outcome: Outcome| self.list.iter().filter(|finding| finding.outcome == outcome).count();
        let rows: Vec<Vec<Cell>> = self.list.iter().map(row).collect();
        format!(
            "{}\n{} passed, {} warnings, {} failed, {} unknown\n",
            printer.table(&rows),
            count(Outcome::Passed),
            count(Outcome::Warning),
            count(Outcome::Failed),
            count(Outcome::Unknown),
        )
    }
}

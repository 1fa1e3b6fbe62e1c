//! An error with its chain of causes, for the log.

use std::error::Error;
use std::fmt::{Display, Formatter, Result};

use latchkey_config::shorten_text;

/// The maximum length of the text, in bytes: some errors contain a complete response.
const LONGEST: usize = 2048;

/// Displays an error and its causes, separated by colons. Causes whose text is already contained are skipped. For
/// example, a refused connection is three causes below the client's `client error (Connect)`.
pub(crate) struct ErrorChain<'a>(pub &'a dyn Error);

impl Display for ErrorChain<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let mut shown = shorten_text(&self.0.to_string(), LONGEST);
        let mut cause = self.0.source();
        while let Some(error) = cause.filter(|_| shown.len() < LONGEST) {
            let text = error.to_string();
            if !shown.contains(&text) {
                shown = shorten_text(&format!("{shown}: {text}"), LONGEST);
            }
            cause = error.source();
        }
        formatter.write_str(&shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{what}")]
    struct Step {
        what: &'static str,
        source: Option<Box<Step>>,
    }

    fn step(what: &'static str, source: Option<Step>) -> Step {
        Step { what, source: source.map(Box::new) }
    }

    #[test]
    fn an_error_that_repeats_an_answer_is_cut() {
        let answer: &'static str = "x".repeat(100_000).leak();
        let text = ErrorChain(&step("not read", Some(step(answer, Some(step(answer, None)))))).to_string();
        assert!(
            text.starts_with("not read: xxx") && text.ends_with(" bytes cut)") && text.len() < 2 * LONGEST
        );
    }

    #[test]
    fn each_cause_is_named_once() {
        let error =
            step("not read: no answer", Some(step("no answer", Some(step("connection refused", None)))));
        assert_eq!(ErrorChain(&error).to_string(), "not read: no answer: connection refused");
    }
}

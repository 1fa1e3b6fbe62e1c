//! An error with what caused it, for the log.

use std::error::Error;
use std::fmt::{Display, Formatter, Result};

/// Shows an error and, after a colon each, its causes, but for those that it repeats in its own words. A refused
/// connection, say, is three causes below what the client calls `client error (Connect)`.
pub struct Causes<'a>(pub &'a dyn Error);

impl Display for Causes<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let mut said = self.0.to_string();
        formatter.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(formatter, ": {text}")?;
                said.push_str(&text);
            }
            cause = error.source();
        }
        Ok(())
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
    fn each_cause_is_named_once() {
        let error =
            step("not read: no answer", Some(step("no answer", Some(step("connection refused", None)))));
        assert_eq!(Causes(&error).to_string(), "not read: no answer: connection refused");
    }
}

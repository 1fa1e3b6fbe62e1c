//! A problem that the user can correct.

/// A problem that the user can correct; it becomes a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub reason: &'static str,
    /// One sentence with the remedy.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// A problem with a value of the spec.
    pub(crate) fn spec(message: impl Into<String>) -> Self {
        Self::new("InvalidSpec", message)
    }
}

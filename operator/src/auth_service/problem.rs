//! A problem that the user can correct.

/// A problem that the user can correct; it becomes a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The condition's reason.
    pub reason: &'static str,
    /// One sentence with the remedy.
    pub message: String,
}

impl Problem {
    /// A problem.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// A problem with a value of the spec.
    pub fn spec(message: impl Into<String>) -> Self {
        Self::new("InvalidSpec", message)
    }
}

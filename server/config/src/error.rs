//! What can be wrong with the settings. Every sentence names the variable; none repeats a secret's value.

/// A setting that is missing, malformed or contradicts another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A required variable is absent (and so is its `_FILE` form, where it has one).
    #[error("{name} is required but not set{hint}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// How else it may be given, or empty.
        hint: &'static str,
    },
    /// A variable's value cannot be understood.
    #[error("{name} is not valid: {reason}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What is expected instead; for a secret it says nothing of the value.
        reason: String,
    },
    /// Both `NAME` and `NAME_FILE` are set.
    #[error("{name} and {name}_FILE are both set; give only one of them")]
    GivenTwice {
        /// The variable.
        name: &'static str,
    },
    /// Two variables that exclude or need each other.
    #[error("{name} {reason}")]
    Conflict {
        /// The variable to change.
        name: &'static str,
        /// The rest of the sentence.
        reason: &'static str,
    },
}

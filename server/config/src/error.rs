//! What can be wrong with the settings. Every sentence names the variable; none repeats a secret's value.

use std::fmt;

use crate::references::References;

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
    /// A variable's value is not text, so that no other rule can be applied to it.
    #[error("{name} is not valid: it is not UTF-8 text")]
    NotText {
        /// The variable, with `_FILE` if that form is set.
        name: String,
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

/// Everything that is wrong with the settings, at least one fault. `Display` prints one sentence a line.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingsErrors {
    faults: Vec<SettingsError>,
    references: Box<References>,
}

impl SettingsErrors {
    pub(crate) fn new(faults: Vec<SettingsError>, references: References) -> Self {
        Self { faults, references: Box::new(references) }
    }

    /// The faults, in the order in which the variables are read.
    pub fn iter(&self) -> std::slice::Iter<'_, SettingsError> {
        self.faults.iter()
    }

    /// The valid settings that refer to files and secrets, so that one start can report their faults too.
    pub fn references(&self) -> &References {
        &self.references
    }
}

impl<'a> IntoIterator for &'a SettingsErrors {
    type Item = &'a SettingsError;
    type IntoIter = std::slice::Iter<'a, SettingsError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Without the references, whose paths may be secrets that were set under the wrong name.
impl fmt::Debug for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.faults).finish()
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsErrors {}

//! Errors of the settings. Each message is one sentence that names the variable and contains no secret.

use std::fmt;

use crate::references::References;

/// A setting that is missing, malformed or contradicts another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A required variable is not set, and neither is its `_FILE` form.
    #[error("{name} is required but not set{hint}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// Another way to set it, or an empty string.
        hint: &'static str,
    },
    /// The value of a variable is malformed or out of range.
    #[error("{name} is not valid: {reason}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Why the value is not valid. For a secret it does not contain the value.
        reason: String,
    },
    /// The value of a variable is not valid UTF-8.
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
    /// Two variables exclude or require each other.
    #[error("{name} {reason}")]
    Conflict {
        /// The variable to change.
        name: &'static str,
        /// The rest of the sentence after the name.
        reason: &'static str,
    },
}

/// All errors of the settings, at least one. `Display` prints one sentence per line.
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

    /// The valid settings that refer to files and secrets, so that the server can report their errors at the same time.
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

/// Omits the references: a path may be a secret that was set under the wrong name.
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

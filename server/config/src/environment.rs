//! The environment of a process, whose values may be invalid UTF-8.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use crate::error::{SettingsError, SettingsErrors};
use crate::references::References;
use crate::variables as v;

/// The variables of a process. Latchkey's variables must be valid UTF-8; others are ignored if they are not.
#[derive(Clone, Default)]
pub struct Environment {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) not_text: BTreeSet<String>,
}

impl Environment {
    /// Collects the variables, which usually come from `std::env::vars_os`.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => _ = environment.variables.insert(name, value),
                Err(_) if is_ours(&name) => _ = environment.not_text.insert(name),
                Err(_) => {}
            }
        }
        environment
    }

    /// Returns the variables, for commands that read only a few of them.
    ///
    /// # Errors
    /// Each of Latchkey's variables that is not valid UTF-8.
    pub fn into_variables(self) -> Result<BTreeMap<String, String>, SettingsErrors> {
        if self.not_text.is_empty() {
            return Ok(self.variables);
        }
        let faults = self.not_text.into_iter().map(|name| SettingsError::NotText { name }).collect();
        Err(SettingsErrors::new(faults, References::default()))
    }
}

fn is_ours(name: &str) -> bool {
    v::ALL.contains(&name) || name.strip_suffix("_FILE").is_some_and(|name| v::SECRETS.contains(&name))
}

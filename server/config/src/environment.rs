//! A process's environment, whose values may be anything.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use crate::error::{SettingsError, SettingsErrors};
use crate::references::References;
use crate::variables as v;

/// The variables of a process. Latchkey's variables must be text; a foreign variable that is not text is ignored.
#[derive(Clone, Default)]
pub struct Environment {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) not_text: BTreeSet<String>,
}

impl Environment {
    /// Takes names and values, usually those of `std::env::vars_os`.
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

    /// The variables alone, for a command that reads only a few of them.
    ///
    /// # Errors
    /// Each of Latchkey's variables that is not text.
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

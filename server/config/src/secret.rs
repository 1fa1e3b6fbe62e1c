//! Secrets that cannot be printed by accident.

use std::fmt;
use std::path::PathBuf;

/// A secret's text. `Debug` hides it; reading it takes the word [`SecretText::expose`], which greps well.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; never to be logged.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where a secret comes from: the variable itself, or a file that `NAME_FILE` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// Given in the environment.
    Inline(SecretText),
    /// To be read from this file, without a trailing line break.
    File(PathBuf),
}

impl SecretSource {
    /// A secret given inline.
    pub fn inline(text: impl Into<String>) -> Self {
        Self::Inline(SecretText::new(text))
    }
}

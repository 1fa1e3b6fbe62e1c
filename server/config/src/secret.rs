//! Secrets that are redacted when printed.

use std::fmt;
use std::path::PathBuf;

/// The text of a secret. `Debug` redacts it, and only [`SecretText::expose`] returns it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The source of a secret: the variable itself, or a file named by `NAME_FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The value of the variable.
    Inline(SecretText),
    /// The content of this file, without a trailing line break.
    File(PathBuf),
}

impl SecretSource {
    /// Wraps the value of a variable.
    pub fn inline(text: impl Into<String>) -> Self {
        Self::Inline(SecretText::new(text))
    }
}

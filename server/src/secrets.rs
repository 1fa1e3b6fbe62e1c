//! Reading secrets from variables or files, as the settings name them.

use latchkey_config::{SecretSource, SecretText, SettingsError, check_secret};

/// A secret file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{name}_FILE {path} cannot be read: {reason}")]
    Unreadable {
        /// The variable without `_FILE`.
        name: &'static str,
        path: String,
        /// The kind of the I/O error.
        reason: std::io::Error,
    },
    /// The content is not valid for the variable.
    #[error(transparent)]
    Invalid(#[from] SettingsError),
    /// The file is empty.
    #[error("{name}_FILE {path} is empty")]
    Empty {
        /// The variable without `_FILE`.
        name: &'static str,
        path: String,
    },
}

/// Reads a secret, without the trailing line break that editors and `echo` add.
///
/// # Errors
/// [`SecretError`]; it never repeats what was read.
pub fn read_secret(name: &'static str, source: &SecretSource) -> Result<SecretText, SecretError> {
    match source {
        SecretSource::Inline(text) => Ok(text.clone()),
        SecretSource::File(path) => {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|reason| SecretError::Unreadable {
                name,
                path: shown.clone(),
                reason,
            })?;
            let trimmed = text.trim_end_matches(['\r', '\n']);
            if trimmed.is_empty() {
                return Err(SecretError::Empty { name, path: shown });
            }
            check_secret(name, trimmed)?;
            Ok(SecretText::new(trimmed))
        }
    }
}

//! Usernames.

use std::fmt;

use latchkey_config::account_rules::is_username;

/// See [`is_username`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Parses a username; `None` when it breaks the rule.
    pub fn parse(text: &str) -> Option<Self> {
        is_username(text).then(|| Self(text.to_owned()))
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! Usernames.

use std::fmt;

const MAX_CHARS: usize = 64;

/// 1 to 64 ASCII letters, digits, `.`, `_` or `-`; never an `@`, so that it cannot be mistaken for an address.
/// Letters beyond ASCII are left out because many look alike (Unicode UTS #39) and their case is not the same
/// in every language, so that two accounts could pass for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// Parses a username; `None` when it breaks the rule above.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let length = text.chars().count();
        ((1..=MAX_CHARS).contains(&length) && text.chars().all(allowed)).then(|| Self(text.to_owned()))
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

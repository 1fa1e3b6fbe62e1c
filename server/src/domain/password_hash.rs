//! Password hashes as text.

use std::fmt;

use serde::Deserialize;

/// The string form of Latchkey's or another system's hash. `Debug` redacts it, because a leaked hash allows an
/// attacker to guess the password offline.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a string without parsing it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The string; never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_redacts_the_hash() {
        let hash = PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA");
        assert_eq!(
            format!("{hash:?} {:?} {:#?}", Some(&hash), [&hash]),
            "[redacted] Some([redacted]) [\n    [redacted],\n]"
        );
    }
}

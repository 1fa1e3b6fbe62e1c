//! A password's hash as text that is stored or brought along.

use std::fmt;

use serde::Deserialize;

/// The string form of a hash: ours, or another system's. `Debug` hides it: an attacker who has a hash can guess at the
/// password without a limit.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a hash; whether it is one that can be computed is not asked.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it stands for an account without a password: Django marks one with a leading `!`, crypt(3) with `!` or
    /// `*`.
    pub fn is_unusable(&self) -> bool {
        self.0.starts_with(['!', '*'])
    }

    /// The string; never to be logged.
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
    fn it_is_never_printed() {
        let hash = PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA");
        assert_eq!(
            format!("{hash:?} {:?} {:#?}", Some(&hash), [&hash]),
            "[redacted] Some([redacted]) [\n    [redacted],\n]"
        );
    }
}

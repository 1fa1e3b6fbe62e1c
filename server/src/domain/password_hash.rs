//! Password hashes as text.

use std::fmt;

use serde::{Deserialize, Deserializer};

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

    /// Accepts a string, or an object, which it converts to text: some systems store hashes as objects.
    ///
    /// # Errors
    /// The value is neither.
    pub fn deserialize_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        match Option::deserialize(deserializer)? {
            None => Ok(None),
            Some(serde_json::Value::String(text)) => Ok(Some(Self(text))),
            Some(object @ serde_json::Value::Object(_)) => Ok(Some(Self(object.to_string()))),
            Some(_) => Err(serde::de::Error::custom("a string or an object is expected")),
        }
    }

    /// Whether the account has no password: Django marks such a hash with `!`, crypt(3) with `!` or `*`.
    pub fn is_unusable(&self) -> bool {
        self.0.starts_with(['!', '*'])
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

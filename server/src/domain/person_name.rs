//! Display names.

const MAX_CHARS: usize = 200;

/// A name of 1 to 200 characters, without control characters and surrounding spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// Trims and checks a name.
    pub fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        let length = trimmed.chars().count();
        ((1..=MAX_CHARS).contains(&length) && !trimmed.chars().any(char::is_control))
            .then(|| Self(trimmed.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_200_characters_and_no_control_characters() {
        let longest = "ä".repeat(MAX_CHARS);
        for (given, expected) in [
            ("Jane Doe", Some("Jane Doe")),
            ("  Jane\t", Some("Jane")),
            (&*longest, Some(&*longest)),
            ("", None),
            (" \n ", None),
            ("Jane\nDoe", None),
            ("Jane\u{7f}", None),
            (&format!("{longest}a"), None),
        ] {
            assert_eq!(PersonName::parse(given).as_ref().map(PersonName::as_str), expected, "{given:?}");
        }
    }
}

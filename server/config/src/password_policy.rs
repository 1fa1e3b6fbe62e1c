//! The configurable rules for new passwords. They add to the fixed rules: at least eight characters, not a common
//! password, and not a name of the account. There are no composition rules (NIST SP 800-63B-4 §3.1.1.2: "SHALL NOT
//! impose other composition rules").

use std::collections::BTreeMap;

use crate::SettingsErrors;
use crate::given::{Given, Parsed};
use crate::references::References;
use crate::variables as v;

/// The rules for new passwords. Existing passwords are not affected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// `PASSWORD_MIN_LENGTH`
    pub min_length: PasswordLength,
    /// `PASSWORD_FORBIDDEN_WORDS` in lower case, for example the names of the company, its products and its locations
    /// (OWASP ASVS 5.0 §6.2.11). A password that consists only of these words is refused.
    pub forbidden_words: Vec<String>,
}

/// The minimum number of characters of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PasswordLength(u32);

impl Default for PasswordLength {
    fn default() -> Self {
        Self(Self::MIN)
    }
}

impl PasswordLength {
    /// The lowest minimum (OWASP ASVS 5.0 §6.2.1), and the default.
    pub const MIN: u32 = 8;
    /// The highest minimum: verifiers must accept passwords of 64 characters (NIST SP 800-63B-4 §3.1.1.2).
    pub const MAX: u32 = 64;

    /// Returns `None` unless `characters` is between [`PasswordLength::MIN`] and [`PasswordLength::MAX`].
    pub fn new(characters: u32) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&characters).then_some(Self(characters))
    }

    /// The number of characters.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl PasswordPolicy {
    /// The maximum number of forbidden words.
    pub const MAX_WORDS: usize = 100;

    /// Checks a forbidden word and returns it in lower case. A word has 3 to 64 characters, at least one letter or
    /// digit, no comma, no control character, and no space at the beginning or end.
    pub fn word(text: &str) -> Option<String> {
        let word = text.to_lowercase();
        let fits = (3..=64).contains(&word.chars().count())
            && word.chars().any(char::is_alphanumeric)
            && !word.chars().any(|char| char == ',' || char.is_control())
            && word.trim() == word;
        fits.then_some(word)
    }

    /// Reads only the policy, for commands that need no other setting.
    ///
    /// # Errors
    /// Each variable of the policy that is not valid.
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, SettingsErrors> {
        let given = Given::of_variables(variables);
        let policy = given.password_policy();
        policy.map_err(|_| SettingsErrors::new(given.into_faults(), References::default()))
    }
}

impl Given<'_> {
    pub(crate) fn password_policy(&self) -> Parsed<PasswordPolicy> {
        let (min_length, forbidden_words) = (self.password_length(), self.forbidden_words());
        Ok(PasswordPolicy { min_length: min_length?, forbidden_words: forbidden_words? })
    }

    fn password_length(&self) -> Parsed<PasswordLength> {
        let name = v::PASSWORD_MIN_LENGTH;
        let default = PasswordLength::default().get();
        let number: u32 = self.parsed(name, default, "a whole number of characters")?;
        PasswordLength::new(number).ok_or_else(|| {
            let (min, max) = (PasswordLength::MIN, PasswordLength::MAX);
            self.invalid(name, format!("`{number}` is not between {min} and {max} characters"))
        })
    }

    fn forbidden_words(&self) -> Parsed<Vec<String>> {
        let name = v::PASSWORD_FORBIDDEN_WORDS;
        let words = self.list(name, |text| {
            PasswordPolicy::word(text)
                .ok_or("a word or name of 3 to 64 characters without control characters")
        })?;
        if words.len() > PasswordPolicy::MAX_WORDS {
            let reason = format!("it has more than {} words", PasswordPolicy::MAX_WORDS);
            return Err(self.invalid(name, reason));
        }
        Ok(words)
    }
}

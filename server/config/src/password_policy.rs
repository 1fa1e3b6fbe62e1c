//! Which new passwords are good enough, as far as that can be set. Nothing here can weaken the rules that always hold:
//! eight characters, none of the common ones, none of the account's own names. Rules of composition are not offered (NIST
//! SP 800-63B-4 §3.1.1.2: "SHALL NOT impose other composition rules").

use std::collections::BTreeMap;

use crate::SettingsErrors;
use crate::given::{Given, Parsed};
use crate::references::References;
use crate::variables as v;

/// What is asked of a password when one is chosen; one that was chosen before stays good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// `PASSWORD_MIN_LENGTH`
    pub min_length: PasswordLength,
    /// `PASSWORD_FORBIDDEN_WORDS` in lower case: names of the company, its products, its places (OWASP ASVS 5.0
    /// §6.2.11). A password that consists of nothing else is refused.
    pub forbidden_words: Vec<String>,
}

/// The fewest characters that a password may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PasswordLength(u32);

impl Default for PasswordLength {
    fn default() -> Self {
        Self(Self::MIN)
    }
}

impl PasswordLength {
    /// The least that can be asked for (OWASP ASVS 5.0 §6.2.1), and the default.
    pub const MIN: u32 = 8;
    /// The most that can be asked for: what every verifier has to accept (NIST SP 800-63B-4 §3.1.1.2).
    pub const MAX: u32 = 64;

    /// `characters` when it lies between [`PasswordLength::MIN`] and [`PasswordLength::MAX`].
    pub fn new(characters: u32) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&characters).then_some(Self(characters))
    }

    /// The number of characters.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl PasswordPolicy {
    /// The most words that can be forbidden.
    pub const MAX_WORDS: usize = 100;

    /// A forbidden word as it is kept: in lower case. `None` when it is none: it must have 3 to 64 characters, a letter
    /// or digit among them, no comma and no control character, and neither begin nor end with a space.
    pub fn word(text: &str) -> Option<String> {
        let word = text.to_lowercase();
        let fits = (3..=64).contains(&word.chars().count())
            && word.chars().any(char::is_alphanumeric)
            && !word.chars().any(|char| char == ',' || char.is_control())
            && word.trim() == word;
        fits.then_some(word)
    }

    /// The policy alone, for commands that need no other setting.
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

//! The rules for passwords (NIST SP 800-63B-4 §3.1.1, OWASP ASVS 5.0 §6.2).

use std::fmt;
use std::sync::LazyLock;

use latchkey_config::PasswordPolicy;
use latchkey_config::account_rules::{MAX_PASSWORD_CHARS, exceeds_password_limit};

use super::forbidden_words::is_made_of;
use crate::domain::{EmailAddress, PersonName, Username};

/// Common and breached passwords (`server/data/README.md`), in lower case. `None` would mean a corrupt build, which a
/// test detects.
static COMMON: LazyLock<Option<fst::Set<&[u8]>>> = LazyLock::new(|| {
    let packed: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/common_passwords.fst"));
    fst::Set::new(packed).ok()
});

/// A password exactly as entered, without trimming or normalisation. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(password)")
    }
}

/// Why a new password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefusal {
    #[error("must have at least {0} characters")]
    TooShort(u32),
    #[error("must have at most {MAX_PASSWORD_CHARS} characters")]
    TooLong,
    #[error("is one of the most common passwords; choose another")]
    Common,
    #[error("must not be the account's own name or address")]
    OwnName,
    #[error("consists of words that are easy to guess, such as the name of the service; choose another")]
    ForbiddenWord,
}

impl Password {
    /// Wraps a password that a client presents, without checking it.
    pub fn presented(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether the password is too long to be the password of any account.
    pub fn exceeds_limit(&self) -> bool {
        exceeds_password_limit(&self.0)
    }

    /// The password itself; never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Checks a new password of the account with these names against the fixed rules and the policy.
    ///
    /// # Errors
    /// The first violated rule.
    pub fn check_new(
        &self,
        policy: &PasswordPolicy,
        username: &Username,
        email: &EmailAddress,
        name: &PersonName,
    ) -> Result<(), PasswordRefusal> {
        let length = self.0.chars().count();
        let min_length = policy.min_length.get();
        if length < usize::try_from(min_length).unwrap_or(usize::MAX) {
            return Err(PasswordRefusal::TooShort(min_length));
        }
        if self.exceeds_limit() {
            return Err(PasswordRefusal::TooLong);
        }
        let folded = self.0.to_lowercase();
        let own = [username.as_str(), email.as_str(), email.local_part(), name.as_str()];
        if own.iter().any(|own| own.to_lowercase() == folded) {
            return Err(PasswordRefusal::OwnName);
        }
        if COMMON.as_ref().is_some_and(|common| common.contains(&folded)) {
            return Err(PasswordRefusal::Common);
        }
        if is_made_of(&folded, &policy.forbidden_words) {
            return Err(PasswordRefusal::ForbiddenWord);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use latchkey_config::PasswordLength;

    use super::*;

    fn check(password: &str) -> Result<(), PasswordRefusal> {
        check_by(&PasswordPolicy::default(), password)
    }

    fn check_by(policy: &PasswordPolicy, password: &str) -> Result<(), PasswordRefusal> {
        Password::presented(password).check_new(
            policy,
            &Username::parse("johnathan.doe").unwrap(),
            &EmailAddress::parse("john.the.tester@example.com").unwrap(),
            &PersonName::parse("Johnathan Doe").unwrap(),
        )
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        assert_eq!(check("ünïcödé"), Err(PasswordRefusal::TooShort(8)));
        assert_eq!(check("ünïcödé×"), Ok(()));
        assert_eq!(check(&"correct horse 馬 ".repeat(16)), Ok(()));
        assert_eq!(check(&"é".repeat(257)), Err(PasswordRefusal::TooLong));
    }

    #[test]
    fn common_passwords_are_refused() {
        for common in ["password", "password1", "qwertyuiop", "12345678", "iloveyou", "aaaaaaaa", "Football"]
        {
            assert_eq!(check(common), Err(PasswordRefusal::Common), "{common}");
        }
    }

    #[test]
    fn the_list_is_refused_case_insensitively() {
        let list: Vec<_> = include_str!("../../data/common_passwords.txt").lines().collect();
        assert!(list.len() > 20_000);
        for common in list {
            for spelled in [common.to_owned(), common.to_uppercase()] {
                // Some letters (a final sigma, a dotless i) do not survive a change to upper case and back.
                if spelled.to_lowercase() == common {
                    assert_eq!(check(&spelled), Err(PasswordRefusal::Common), "{spelled}");
                }
            }
        }
    }

    #[test]
    fn the_accounts_names_are_refused_case_insensitively() {
        for own in ["JOHNATHAN.DOE", "john.the.tester@EXAMPLE.com", "john.the.tester", "johnathan doe"] {
            assert_eq!(check(own), Err(PasswordRefusal::OwnName), "{own}");
        }
    }

    #[test]
    fn a_policy_only_adds_rules() {
        let policy = PasswordPolicy {
            min_length: PasswordLength::new(15).unwrap(),
            forbidden_words: vec!["acme corporation".to_owned()],
        };
        assert_eq!(check_by(&policy, "ünïcödé × 14 ch"), Ok(()));
        assert_eq!(check_by(&policy, "ünïcödé × 14 c"), Err(PasswordRefusal::TooShort(15)));
        assert_eq!(check_by(&policy, "ACME Corporation 26"), Err(PasswordRefusal::ForbiddenWord));
        assert_eq!(check_by(&policy, "the acme corporation"), Ok(()));
        assert_eq!(check_by(&policy, "aaaaaaaaaaaaaaa"), check("aaaaaaaaaaaaaaa"));
        assert_eq!(check_by(&policy, "john.the.tester@example.com"), Err(PasswordRefusal::OwnName));
    }

    #[test]
    fn there_are_no_composition_rules() {
        for good in
            ["correct horse battery staple", "    spaces   count   ", "tr0ub4dor-and-more", "zxqjvkwp"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}

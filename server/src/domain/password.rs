//! The rules for passwords (NIST SP 800-63B-4 §3.1.1, OWASP ASVS 5.0 §6.2).

use std::fmt;
use std::sync::LazyLock;

use latchkey_config::PasswordPolicy;
pub use latchkey_config::PasswordRefusal;
use latchkey_config::account_rules::exceeds_password_limit;

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
        let is_common = |folded: &str| COMMON.as_ref().is_some_and(|common| common.contains(folded));
        policy.check_new(&self.0, username.as_str(), email.as_str(), name.as_str(), is_common)
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
    fn a_presented_password_is_redacted_and_its_length_is_known() {
        let password = |characters| Password::presented("é".repeat(characters));
        assert_eq!(format!("{:?}", password(1)), "(password)");
        assert!(!password(256).exceeds_limit());
        assert!(password(257).exceeds_limit());
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

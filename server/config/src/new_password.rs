//! Whether a new password is good enough (NIST SP 800-63B-4 §3.1.1, OWASP ASVS 5.0 §6.2). The server decides by this;
//! the operator checks the password of `spec.bootstrapAdmin` by it.

use crate::PasswordPolicy;
use crate::account_rules::{MAX_PASSWORD_CHARS, exceeds_password_limit};
use crate::forbidden_words::is_made_of;

/// Why a new password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefusal {
    /// Fewer than this many characters.
    #[error("must have at least {0} characters")]
    TooShort(u32),
    /// More than [`MAX_PASSWORD_CHARS`].
    #[error("must have at most {MAX_PASSWORD_CHARS} characters")]
    TooLong,
    /// One of the most common passwords.
    #[error("is one of the most common passwords; choose another")]
    Common,
    /// The account's own name.
    #[error("must not be the account's own name or address")]
    OwnName,
    /// It consists of forbidden words.
    #[error("consists of words that are easy to guess, such as the name of the service; choose another")]
    ForbiddenWord,
}

impl PasswordPolicy {
    /// Checks a new password of the account with these names. The policy adds to the rules that always hold.
    /// `is_common` reports whether a password, in lower case, is among the most common ones.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_new(
        &self,
        password: &str,
        username: &str,
        email: &str,
        name: &str,
        is_common: impl Fn(&str) -> bool,
    ) -> Result<(), PasswordRefusal> {
        let length = password.chars().count();
        let min_length = self.min_length.get();
        if length < usize::try_from(min_length).unwrap_or(usize::MAX) {
            return Err(PasswordRefusal::TooShort(min_length));
        }
        if exceeds_password_limit(password) {
            return Err(PasswordRefusal::TooLong);
        }
        let folded = password.to_lowercase();
        let local_part = email.rsplit_once('@').map_or(email, |(local, _)| local);
        if [username, email, local_part, name].iter().any(|own| own.to_lowercase() == folded) {
            return Err(PasswordRefusal::OwnName);
        }
        if is_common(&folded) {
            return Err(PasswordRefusal::Common);
        }
        if is_made_of(&folded, &self.forbidden_words) {
            return Err(PasswordRefusal::ForbiddenWord);
        }
        Ok(())
    }
}

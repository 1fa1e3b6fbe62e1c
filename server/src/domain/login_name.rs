//! The name in a login form.

use std::borrow::Cow;

use crate::domain::{EmailAddress, Username};

/// A username or an e-mail address. A name with an `@` is an address, because usernames cannot contain one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginName {
    Username(Username),
    Email(EmailAddress),
}

impl LoginName {
    /// Returns `None` if no account can have this name; callers then respond as for an unknown account.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            EmailAddress::parse(text).map(Self::Email)
        } else {
            Username::parse(text).map(Self::Username)
        }
    }

    /// The one spelling of a name that several spellings of an address have in common. Attempts are counted by it.
    pub fn canonical_spelling(text: &str) -> Cow<'_, str> {
        match Self::parse(text) {
            Some(Self::Email(address)) if address.as_str() != text => Cow::Owned(address.to_string()),
            _ => Cow::Borrowed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_an_at_sign_is_an_address() {
        assert!(matches!(LoginName::parse("jane"), Some(LoginName::Username(_))));
        assert!(matches!(LoginName::parse("jane@example.com"), Some(LoginName::Email(_))));
        for impossible in ["", "jane doe", "@", "jane@", "@example.com", "a@b@c.example"] {
            assert_eq!(LoginName::parse(impossible), None, "{impossible:?}");
        }
    }
}

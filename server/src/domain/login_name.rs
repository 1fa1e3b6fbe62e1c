//! What a person types to log in.

use crate::domain::{EmailAddress, Username};

/// A username or an address. An `@` decides, since no username has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginName {
    /// To be found among the usernames.
    Username(Username),
    /// To be found among the addresses.
    Email(EmailAddress),
}

impl LoginName {
    /// `None` when no account can have this name; the caller then answers as for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            EmailAddress::parse(text).map(Self::Email)
        } else {
            Username::parse(text).map(Self::Username)
        }
    }
}

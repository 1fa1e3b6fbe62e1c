//! The variables of a message's templates.

use minijinja::Value;

use super::{EMAIL_TOKEN_LIFETIME, INVITATION_LIFETIME, RESET_TOKEN_LIFETIME};
use crate::store::{MailKind, TokenPurpose};

/// The variables that templates may use; docs/reference/emails.md lists them. What a message does not have is undefined in its
/// templates, and using it is an error.
///
/// What people write about themselves stays out, but for names that are limited to a few characters: a message to
/// an address that nobody has shown to be theirs must not carry what a stranger wants it to say.
#[derive(Clone)]
pub struct Facts<'a> {
    /// The name in `From`, or else the host of the links.
    pub service: &'a str,
    /// The username.
    pub username: Option<&'a str>,
    /// The requested address, or the current one.
    pub new_email: Option<&'a str>,
    /// The link and its lifetime.
    pub link: Option<Link>,
}

impl Facts<'_> {
    /// The variables as templates see them: absent ones are undefined.
    pub(super) fn values(&self) -> Vec<(&'static str, Value)> {
        let mut values = vec![("service", Value::from(self.service))];
        values.extend(self.username.map(|username| ("username", Value::from(username))));
        values.extend(self.new_email.map(|address| ("new_email", Value::from(address))));
        if let Some(Link { link, validity }) = &self.link {
            values.push(("link", Value::from(link.as_str())));
            values.push(match *validity {
                Validity::Minutes(minutes) => ("minutes", Value::from(minutes)),
                Validity::Hours(hours) => ("hours", Value::from(hours)),
                Validity::Days(days) => ("days", Value::from(days)),
            });
        }
        values
    }
}

/// A link with a one-time token.
#[derive(Clone)]
pub struct Link {
    /// The URL.
    pub link: String,
    /// Its lifetime in whole units, at least one.
    pub validity: Validity,
}

/// The lifetime of a link, in the unit that its message names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Minutes(i64),
    Hours(i64),
    Days(i64),
}

/// The rule of a kind of message with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRule {
    /// The purpose of its token.
    pub purpose: TokenPurpose,
    /// The page of the link.
    pub path: &'static str,
    /// The lifetime, from when it is sent.
    pub lifetime: chrono::TimeDelta,
}

/// The rule for a kind; `None` for messages without a link.
pub fn link_rule(kind: MailKind) -> Option<LinkRule> {
    let (purpose, path, lifetime) = match kind {
        MailKind::PasswordRecovery => (TokenPurpose::PasswordReset, "/reset-password", RESET_TOKEN_LIFETIME),
        MailKind::EmailVerification => {
            (TokenPurpose::EmailVerification, "/verify-email", EMAIL_TOKEN_LIFETIME)
        }
        MailKind::EmailChange => (TokenPurpose::EmailChange, "/confirm-email", EMAIL_TOKEN_LIFETIME),
        MailKind::Invitation => (TokenPurpose::Invitation, "/reset-password", INVITATION_LIFETIME),
        MailKind::PasswordChanged
        | MailKind::RegistrationExists
        | MailKind::UsernameTaken
        | MailKind::EmailChangeNotice
        | MailKind::EmailChanged
        | MailKind::AccountDeleted => return None,
    };
    Some(LinkRule { purpose, path, lifetime })
}

impl LinkRule {
    /// The link with this token.
    pub fn build_link(&self, base: &str, token: &str) -> Link {
        let validity = match self.purpose {
            TokenPurpose::PasswordReset => Validity::Minutes(self.lifetime.num_minutes()),
            TokenPurpose::EmailVerification | TokenPurpose::EmailChange => {
                Validity::Hours(self.lifetime.num_hours())
            }
            TokenPurpose::Invitation => Validity::Days(self.lifetime.num_days()),
        };
        Link { link: format!("{base}{}?token={token}", self.path), validity }
    }
}

/// Example variables of a kind: for previews, and for trying templates at start.
pub fn sample_facts(kind: MailKind, service: &str) -> Facts<'_> {
    let link = link_rule(kind).map(|rule| {
        rule.build_link("https://auth.example.com", "SAMPLE-Xv0hQ2m1vK8b6d3fWcY9rT5uJ7pLzA4e_sN")
    });
    let username = (shows_username(kind)).then_some("jane.doe");
    let new_email = (shows_new_email(kind)).then_some("jane@new.example.com");
    Facts { service, username, new_email, link }
}

/// Whether the templates of a kind have the username. They have it only where the address is the
/// account's, or was entered together with the username.
pub fn shows_username(kind: MailKind) -> bool {
    match kind {
        MailKind::PasswordRecovery
        | MailKind::PasswordChanged
        | MailKind::RegistrationExists
        | MailKind::UsernameTaken
        | MailKind::EmailChangeNotice
        | MailKind::EmailChanged
        | MailKind::Invitation => true,
        MailKind::EmailVerification | MailKind::EmailChange | MailKind::AccountDeleted => false,
    }
}

/// Whether the templates of a kind have another address.
pub fn shows_new_email(kind: MailKind) -> bool {
    matches!(kind, MailKind::EmailChangeNotice | MailKind::EmailChanged)
}

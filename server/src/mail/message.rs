//! The variables of a message's templates.

use latchkey_config::account_rules::displayed_email_address;
use minijinja::Value;

use super::{EMAIL_TOKEN_LIFETIME, INVITATION_LIFETIME, RESET_TOKEN_LIFETIME};
use crate::store::{MailKind, TokenPurpose};

/// The variables of templates, which docs/reference/emails.md lists. A template that uses a variable which its message
/// does not have is an error.
///
/// They contain no text that a user can choose freely, such as the display name. Otherwise an attacker could have the
/// service send their text to an unverified address. Usernames are safe because their characters are restricted.
#[derive(Clone)]
pub struct Facts<'a> {
    /// The name in `From`, or the host of the links if it has none.
    pub service: &'a str,
    pub username: Option<&'a str>,
    /// The requested address, or the current one.
    pub new_email: Option<&'a str>,
    pub link: Option<Link>,
}

impl Facts<'_> {
    /// The defined variables.
    pub(super) fn values(&self) -> Vec<(&'static str, Value)> {
        let mut values = vec![("service", Value::from(self.service))];
        values.extend(self.username.map(|username| ("username", Value::from(username))));
        let new_email = self.new_email.map(displayed_email_address);
        values.extend(new_email.map(|address| ("new_email", Value::from(address))));
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
    pub link: String,
    pub validity: Validity,
}

/// The lifetime of a link in the unit that its message uses, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Minutes(i64),
    Hours(i64),
    Days(i64),
}

/// The properties of the link in a kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRule {
    /// The purpose of the link's token.
    pub purpose: TokenPurpose,
    /// The path of the link's page.
    pub path: &'static str,
    /// The lifetime, which begins when the message is sent.
    pub lifetime: chrono::TimeDelta,
}

/// Returns `None` for messages without a link.
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

/// Sample values for previews and for testing the templates at startup.
pub fn sample_facts(kind: MailKind, service: &str) -> Facts<'_> {
    let link = link_rule(kind).map(|rule| {
        rule.build_link("https://auth.example.com", "SAMPLE-Xv0hQ2m1vK8b6d3fWcY9rT5uJ7pLzA4e_sN")
    });
    let username = (shows_username(kind)).then_some("jane.doe");
    let new_email = (shows_new_email(kind)).then_some("jane@new.example.com");
    Facts { service, username, new_email, link }
}

/// Whether the templates of a kind have the username. They have it only if the recipient is the account's address, or
/// the username was entered together with the recipient.
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

/// Whether the templates of a kind have the new address.
pub fn shows_new_email(kind: MailKind) -> bool {
    matches!(kind, MailKind::EmailChangeNotice | MailKind::EmailChanged)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use latchkey_tests::documentation::{code_spans, names, read, rows, section};

    use super::*;

    fn page() -> String {
        read("docs/reference/emails.md")
    }

    #[test]
    fn the_documentation_lists_every_kind_with_its_link() {
        let kinds: BTreeSet<_> = MailKind::ALL.into_iter().map(|kind| kind.as_str().to_owned()).collect();
        assert_eq!(names(section(&page(), "## Kinds")), kinds);
        for row in rows(section(&page(), "## Kinds")) {
            for name in code_spans(&row[0]) {
                let kind = MailKind::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap();
                let link = link_rule(kind).map_or(String::new(), |rule| {
                    let validity = match rule.build_link("", "").validity {
                        Validity::Minutes(minutes) => format!("{minutes} minutes"),
                        Validity::Hours(hours) => format!("{hours} hours"),
                        Validity::Days(days) => format!("{days} days"),
                    };
                    format!("`{}`, {validity}, one use", rule.path)
                });
                assert_eq!(row[2], link, "{name}");
            }
        }
    }

    #[test]
    fn the_documentation_lists_every_variable_with_its_kinds() {
        let mut listed = BTreeMap::new();
        for row in rows(section(&page(), "## Variables")) {
            let kinds: Vec<_> = MailKind::ALL.into_iter().map(MailKind::as_str).collect();
            let named: BTreeSet<_> = code_spans(&row[1]).into_iter().collect();
            let kinds: BTreeSet<_> = kinds
                .into_iter()
                .map(str::to_owned)
                .filter(|kind| row[1].starts_with("all") != named.contains(kind))
                .collect();
            listed.insert(code_spans(&row[0]).swap_remove(0), kinds);
        }
        let mut defined = BTreeMap::<_, BTreeSet<_>>::new();
        for kind in MailKind::ALL {
            let facts = sample_facts(kind, "Example");
            // The renderer adds two.
            let names = facts.values().into_iter().map(|(name, _)| name).chain(["locale", "subject"]);
            for name in names {
                defined.entry(name.to_owned()).or_default().insert(kind.as_str().to_owned());
            }
        }
        assert_eq!(listed, defined);
    }
}

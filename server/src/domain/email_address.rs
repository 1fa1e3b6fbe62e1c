//! E-mail addresses.

use std::fmt;

use latchkey_config::account_rules::{EmailRefusal, canonical_email_address};

/// An address in the form of [`canonical_email_address`], in the case in which it was entered. The database compares
/// addresses case-insensitively.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

impl EmailAddress {
    pub fn parse(text: &str) -> Option<Self> {
        Self::canonicalize(text).ok()
    }

    /// # Errors
    /// [`EmailRefusal`]
    pub fn canonicalize(text: &str) -> Result<Self, EmailRefusal> {
        canonical_email_address(text).map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the address has one of these domains, compared case-insensitively and without subdomains. An empty list
    /// allows every domain.
    pub fn is_within(&self, domains: &[String]) -> bool {
        let own = self.0.rsplit_once('@').map_or("", |(_, domain)| domain);
        domains.is_empty() || domains.iter().any(|domain| domain.eq_ignore_ascii_case(own))
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_mailer_accepts_every_accepted_address(
            text in r#"[a-z."+ \[\]-]{0,12}@[a-zü0-9.:@\[\]-]{0,14}"#,
        ) {
            prop_assert!(EmailAddress::parse(&text).is_none_or(|address| lettre::Address::from_str(address.as_str()).is_ok()), "{}", text);
        }
    }

    #[test]
    fn domains_are_compared_as_a_whole_and_case_insensitively() {
        let domains = ["example.com".to_owned(), "example.org".to_owned()];
        let within = |text: &str| EmailAddress::parse(text).unwrap().is_within(&domains);
        assert!(within("john@example.com") && within("john@EXAMPLE.org"));
        for outside in ["john@evil-example.com", "john@sub.example.com", "example.com@evil.test", "j@com"] {
            assert!(!within(outside), "{outside}");
        }
        assert!(EmailAddress::parse("john@anywhere.test").unwrap().is_within(&[]));
    }
}

//! E-mail addresses.

use std::fmt;

use latchkey_config::account_rules::is_email_address;

/// An address that can receive e-mail, as its owner spells it; the database compares it without regard to case. See
/// [`is_email_address`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Parses an address; `None` when it breaks the rule.
    pub fn parse(text: &str) -> Option<Self> {
        is_email_address(text).then(|| Self(text.to_owned()))
    }

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it belongs to one of these domains, whatever their case. A domain is not its subdomains. No
    /// domains: any.
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
        fn every_accepted_address_is_one_that_the_mailer_accepts(
            text in r#"[a-z."+ \[\]-]{0,12}@[a-z0-9.:@\[\]-]{0,14}"#,
        ) {
            prop_assert!(EmailAddress::parse(&text).is_none() || lettre::Address::from_str(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn what_can_be_mailed_to_is_accepted_and_nothing_else() {
        for good in ["john@example.com", "J.D+tag@sub.example.org", "o'hara@example.com"] {
            assert!(EmailAddress::parse(good).is_some(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "",
            "john",
            "@example.com",
            "john@",
            "a b@example.com",
            "jöhn@example.com",
            "a\u{0}@example.com",
            "a@b@c",
            &long,
        ] {
            assert!(EmailAddress::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_domain_is_compared_whole_and_in_any_case() {
        let domains = ["example.com".to_owned(), "example.org".to_owned()];
        let within = |text: &str| EmailAddress::parse(text).unwrap().is_within(&domains);
        assert!(within("john@example.com") && within("john@EXAMPLE.org"));
        for outside in ["john@evil-example.com", "john@sub.example.com", "example.com@evil.test", "j@com"] {
            assert!(!within(outside), "{outside}");
        }
        assert!(EmailAddress::parse("john@anywhere.test").unwrap().is_within(&[]));
    }
}

//! E-mail addresses.

use std::fmt;
use std::str::FromStr as _;

/// Longest address that SMTP carries (RFC 5321 §4.5.3.1.3, less the angle brackets).
const MAX_CHARS: usize = 254;

/// An address that can be mailed to, as its owner spells it; compared without regard to case by the database.
/// ASCII only: addresses that need SMTPUTF8 (RFC 6531) are refused, since their case cannot be compared safely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Parses an addr-spec (RFC 5322 §3.4.1); `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let sane = text.is_ascii()
            && text.chars().count() <= MAX_CHARS
            && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        (sane && lettre::Address::from_str(text).is_ok()).then(|| Self(text.to_owned()))
    }

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or(self.0.as_str(), |(local, _)| local)
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
    use super::*;

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

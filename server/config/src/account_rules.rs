//! The fixed rules for usernames, addresses, passwords and client secrets. The server enforces them. The operator
//! checks the Secrets of an `AuthService` with the same rules, so that pods do not crash on a value that the operator
//! accepted.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use email_address::EmailAddress;

use crate::domain_name::{canonical_domain, displayed_domain};

/// The longest username, in characters.
pub const MAX_USERNAME_CHARS: usize = 64;
/// The longest e-mail address that SMTP carries, in characters (RFC 5321 §4.5.3.1.3, less the angle brackets).
pub const MAX_EMAIL_CHARS: usize = 254;
/// The maximum length of a password, in characters. Longer ones are refused, not truncated.
/// [`PasswordPolicy`](crate::PasswordPolicy) has the minimum length.
pub const MAX_PASSWORD_CHARS: usize = 256;
/// The minimum length of a client secret in bytes, which has 128 bits in hexadecimal (NIST SP 800-63B-4 §3.1.2.2 for
/// look-up secrets, OWASP ASVS 5.0 §11.5.1).
pub const MIN_CLIENT_SECRET_BYTES: usize = 32;

/// Whether `text` is a username: 1 to 64 ASCII letters, digits, `.`, `_` or `-`. Without `@` it cannot be confused
/// with an address. Other letters are excluded because many look alike (Unicode UTS #39) and their case mapping
/// depends on the language, so that two accounts could be confused with each other.
pub fn is_username(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=MAX_USERNAME_CHARS).contains(&text.len()) && text.chars().all(allowed)
}

/// Why a text is not the address of an account or of a sender. `Display` continues a sentence that names the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailRefusal {
    /// It is not an addr-spec (RFC 5322 §3.4.1) to which e-mails can be sent.
    Malformed,
    /// It needs SMTPUTF8 (RFC 6531), which many SMTP servers do not support. International domains do not need it.
    InternationalLocalPart,
}

impl fmt::Display for EmailRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not an e-mail address",
            Self::InternationalLocalPart => {
                "has characters outside ASCII before the @, which many mail servers do not support"
            }
        })
    }
}

/// The canonical form of an address: an international domain is converted to A-labels (RFC 5891), so that all spellings
/// of an address are the same account. Everything else stays as entered.
///
/// # Errors
/// [`EmailRefusal`]
pub fn canonical_email_address(text: &str) -> Result<String, EmailRefusal> {
    let (local, domain) = text.rsplit_once('@').ok_or(EmailRefusal::Malformed)?;
    let domain = canonical_domain(domain).ok_or(EmailRefusal::Malformed)?;
    let is_domain = EmailAddress::is_valid_domain(&domain) || is_address_literal(&domain);
    let plain_domain = domain.chars().all(|c| c.is_ascii_graphic()) && is_domain;
    if !plain_domain || local.len() + 1 + domain.len() > MAX_EMAIL_CHARS {
        return Err(EmailRefusal::Malformed);
    }
    if !EmailAddress::is_valid_local_part(local)
        || local.chars().any(|c| c.is_ascii() && !c.is_ascii_graphic())
    {
        return Err(EmailRefusal::Malformed);
    }
    if !local.is_ascii() {
        return Err(EmailRefusal::InternationalLocalPart);
    }
    Ok(format!("{local}@{domain}"))
}

/// The canonical form of the name with which an SMTP client introduces itself (RFC 5321 §4.1.1.1): a domain name, or an
/// IP address with or without brackets.
pub fn canonical_ehlo_name(text: &str) -> Option<String> {
    let name = canonical_domain(text)?;
    let plain = name.chars().all(|c| c.is_ascii_graphic());
    (plain && (EmailAddress::is_valid_domain(&name) || is_address_literal(&name))).then(|| name.into_owned())
}

/// An address for people: a canonical international domain is shown in Unicode.
pub fn displayed_email_address(address: &str) -> Cow<'_, str> {
    match address.rsplit_once('@') {
        Some((local, domain)) => match displayed_domain(domain) {
            Cow::Borrowed(_) => Cow::Borrowed(address),
            Cow::Owned(displayed) => Cow::Owned(format!("{local}@{displayed}")),
        },
        None => Cow::Borrowed(address),
    }
}

/// Whether `domain` is an IP address (RFC 5321 §4.1.3), with or without brackets.
fn is_address_literal(domain: &str) -> bool {
    let bare = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(domain);
    bare.parse::<IpAddr>().is_ok()
}

/// Whether `text` is longer than [`MAX_PASSWORD_CHARS`].
pub fn exceeds_password_limit(text: &str) -> bool {
    text.chars().count() > MAX_PASSWORD_CHARS
}

/// Whether `secret` is long enough for a client secret.
pub fn is_client_secret(secret: &str) -> bool {
    secret.len() >= MIN_CLIENT_SECRET_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_have_1_to_64_ascii_characters() {
        for good in ["a", "john.doe", "J_D-1", &"a".repeat(64)] {
            assert!(is_username(good), "{good}");
        }
        for bad in ["", "two words", "john@example.com", "jöhn", "a\n", &"a".repeat(65)] {
            assert!(!is_username(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_has_one_at_sign_and_two_valid_parts() {
        for good in
            ["john@example.com", "J.D+tag@sub.example.org", "o'hara@localhost", "a@[192.0.2.1]", "a@[::1]"]
        {
            assert_eq!(canonical_email_address(good).as_deref(), Ok(good));
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "",
            "john",
            "@example.com",
            "john@",
            "a@b@c",
            "a b@example.com",
            ".a@b.c",
            "a@b..c",
            "a@xn--a.example",
            "j\u{f6}hn",
            "jöhn doe@example.com",
            "a\u{0}@example.com",
            "a\u{7f}@example.com",
            &long,
        ] {
            assert_eq!(canonical_email_address(bad), Err(EmailRefusal::Malformed), "{bad}");
        }
    }

    #[test]
    fn an_international_domain_is_canonical_in_ascii_and_displayed_in_unicode() {
        for spelling in ["John@bücher.example", "John@XN--BCHER-KVA.example"] {
            let canonical = canonical_email_address(spelling).expect("an address");
            assert_eq!(canonical, "John@xn--bcher-kva.example");
            assert_eq!(displayed_email_address(&canonical), "John@bücher.example");
        }
        assert_eq!(displayed_email_address("a@example.com"), "a@example.com");
        // Fewer than 254 characters in Unicode, and more in ASCII.
        let long = format!(
            "a@{}.example",
            ["ü".repeat(57), "é".repeat(57), "ö".repeat(57), "ä".repeat(57)].join(".")
        );
        assert_eq!(canonical_email_address(&long), Err(EmailRefusal::Malformed), "{}", long.chars().count());
    }

    #[test]
    fn a_local_part_outside_ascii_is_refused_with_its_own_reason() {
        for address in ["jöhn@example.com", "用户@例え.テスト"] {
            assert_eq!(
                canonical_email_address(address),
                Err(EmailRefusal::InternationalLocalPart),
                "{address}"
            );
        }
    }

    #[test]
    fn passwords_are_counted_in_characters_and_secrets_in_bytes() {
        assert!(!exceeds_password_limit(&"ö".repeat(256)) && exceeds_password_limit(&"ö".repeat(257)));
        assert!(is_client_secret(&"a".repeat(32)) && !is_client_secret(&"a".repeat(31)));
    }
}

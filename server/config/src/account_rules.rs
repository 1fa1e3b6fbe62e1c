//! The fixed rules for usernames, addresses, passwords and client secrets. The server enforces them. The operator
//! checks the Secrets of an `AuthService` with the same rules, so that pods do not crash on a value that the operator
//! accepted.

use std::net::IpAddr;

use email_address::EmailAddress;

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

/// Whether `text` is an addr-spec (RFC 5322 §3.4.1) to which e-mails can be sent. Addresses that need SMTPUTF8 (RFC
/// 6531) are excluded, because a case-insensitive comparison of them is not reliable.
pub fn is_email_address(text: &str) -> bool {
    let plain = text.len() <= MAX_EMAIL_CHARS && text.chars().all(|c| c.is_ascii_graphic());
    plain
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            EmailAddress::is_valid_local_part(local)
                && (EmailAddress::is_valid_domain(domain) || is_address_literal(domain))
        })
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
            assert!(is_email_address(good), "{good}");
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
            "jöhn@example.com",
            &long,
        ] {
            assert!(!is_email_address(bad), "{bad}");
        }
    }

    #[test]
    fn passwords_are_counted_in_characters_and_secrets_in_bytes() {
        assert!(!exceeds_password_limit(&"ö".repeat(256)) && exceeds_password_limit(&"ö".repeat(257)));
        assert!(is_client_secret(&"a".repeat(32)) && !is_client_secret(&"a".repeat(31)));
    }
}

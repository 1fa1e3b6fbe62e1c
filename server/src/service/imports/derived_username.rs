//! Usernames of accounts whose former username is an address, is not allowed, or is absent.

use aws_lc_rs::digest::{SHA256, digest};
use latchkey_config::account_rules::MAX_USERNAME_CHARS;

use crate::domain::{EmailAddress, Username};

/// The length of a suffix.
pub(super) const SUFFIX_CHARS: usize = 8;
const SUFFIX_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The stem if no character of the former username is allowed.
const DEFAULT_STEM: &str = "user";

/// Returns a username such as `jane.doe-k3f7q2ma`: the allowed characters of the former username, or of the address, and
/// a suffix that is a function of the address. The suffix keeps the usernames of a file different from each other and from
/// those that the file contains, and a second run of the import derives the same username.
pub(super) fn derive_username(former: Option<&str>, email: &EmailAddress) -> Option<Username> {
    let former = former.filter(|former| !former.is_empty()).unwrap_or_else(|| email.as_str());
    let local = former.split_once('@').map_or(former, |(local, _)| local);
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
    let stem: String = local.chars().map(allowed).take(MAX_USERNAME_CHARS - 1 - SUFFIX_CHARS).collect();
    let stem = stem.trim_matches(['-', '.', '_']);
    let stem = if stem.is_empty() { DEFAULT_STEM } else { stem };
    Username::parse(&format!("{stem}-{}", suffix_of(&email.as_str().to_ascii_lowercase())))
}

/// Returns [`SUFFIX_CHARS`] characters that are a function of the text.
pub(super) fn suffix_of(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let bytes = digest.as_ref().iter().take(SUFFIX_CHARS);
    bytes.map(|byte| char::from(SUFFIX_ALPHABET[usize::from(byte % 32)])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn derive(former: Option<&str>, email: &str) -> String {
        derive_username(former, &EmailAddress::parse(email).unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_derived_username_is_readable_and_its_suffix_depends_on_the_address() {
        let name = derive(None, "Jane.Doe+news@example.com");
        assert!(name.starts_with("Jane.Doe-news-") && name.len() == 14 + SUFFIX_CHARS, "{name}");
        assert_eq!(derive(Some("jane@old.example"), "jane@example.com"), derive(None, "jane@EXAMPLE.com"));
        assert_ne!(derive(None, "jane@example.com"), derive(None, "jane@example.org"));
        assert!(derive(Some("Jürgen Müller"), "j@example.com").starts_with("J-rgen-M-ller-"));
        assert!(derive(Some("山田"), "j@example.com").starts_with("user-"));
        assert!(derive(Some(""), "j@example.com").starts_with("j-"));
    }

    proptest! {
        #[test]
        fn every_address_derives_a_valid_username(former in prop::option::of("\\PC{0,90}"), local in "[a-z.+!#]{1,60}") {
            if let Some(email) = EmailAddress::parse(&format!("{local}@example.com")) {
                prop_assert!(derive_username(former.as_deref(), &email).is_some());
            }
        }
    }
}

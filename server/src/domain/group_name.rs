//! Names and descriptions of groups.

use std::fmt;

use latchkey_clients::rules::group_name_fault;
pub use latchkey_clients::rules::{MAX_GROUP_NAME as MAX_GROUP_NAME_CHARS, is_group_name_char};

/// The longest description, in characters.
pub const MAX_GROUP_DESCRIPTION_CHARS: usize = 500;

/// The name of a group, as it was spelled first. [`group_name_fault`] has its rules, which a client that names groups follows
/// too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

impl GroupName {
    pub fn parse(text: &str) -> Option<Self> {
        group_name_fault(text).is_none().then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spelling by which names are compared.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a group is for: at most 500 characters, none of them a control character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupDescription(String);

impl GroupDescription {
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = text.chars().count() <= MAX_GROUP_DESCRIPTION_CHARS && !text.contains(char::is_control);
        allowed.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_headers_and_paths() {
        for good in [
            "a",
            "Admins",
            "shop/admins",
            "/shop/admins",
            "orders:read",
            "_x",
            "1.2-3",
            &"a".repeat(128),
            "systems:a",
        ] {
            assert!(GroupName::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "/",
            "//a",
            "a//b",
            "a/",
            "..",
            "a/../b",
            "a/.b",
            ".a",
            "-a",
            ":a",
            "two words",
            "a,b",
            "ümlaut",
            "a\n",
            "a%2Fb",
            "system:masters",
            "System:x",
            &"a".repeat(129),
        ] {
            assert_eq!(GroupName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_description_is_one_line() {
        for good in ["", "Those who may order – everywhere", &"ü".repeat(500)] {
            assert!(GroupDescription::parse(good).is_some(), "{good}");
        }
        for bad in ["two\nlines", "a\0", &"a".repeat(501)] {
            assert_eq!(GroupDescription::parse(bad), None, "{bad}");
        }
    }
}

//! Names and descriptions of groups.

use std::fmt;

/// The longest name, in characters.
pub const MAX_GROUP_NAME_CHARS: usize = 128;
/// The longest description, in characters.
pub const MAX_GROUP_DESCRIPTION_CHARS: usize = 500;
/// Kubernetes gives groups of this prefix rights of its own, for example `system:masters`. A cluster that accepts our tokens
/// without a prefix of its own for their groups would give them to the members.
const RESERVED_PREFIX: &str = "system:";

/// The name of a group, as it was spelled first. It has 1 to 128 ASCII letters, digits, `.`, `_`, `-`, `:` or `/`, so that it
/// can stand in a header, in a list separated by commas or spaces, and in a path. Between slashes there is a letter, a digit
/// or `_` first: neither `..` nor an empty part, which proxies resolve. It may begin with one slash, as paths of groups in
/// Keycloak do. [`RESERVED_PREFIX`] is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

impl GroupName {
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_GROUP_NAME_CHARS || is_reserved(text) {
            return None;
        }
        let parts = text.strip_prefix('/').unwrap_or(text);
        parts.split('/').all(is_part).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spelling by which names are compared.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// Whether a character may stand in a name, apart from the slash.
pub fn is_group_name_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | ':')
}

fn is_part(part: &str) -> bool {
    part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && part.chars().all(is_group_name_char)
}

fn is_reserved(text: &str) -> bool {
    text.get(..RESERVED_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX))
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

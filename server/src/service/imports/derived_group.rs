//! Names of groups that were groups or roles in another system.

use super::derived_username::{SUFFIX_CHARS, suffix_of};
use crate::domain::GroupName;
use crate::domain::group_name::{MAX_GROUP_NAME_CHARS, is_group_name_char};

/// The stem of a part without an allowed character.
const DEFAULT_PART: &str = "group";

/// Returns the former name if it is allowed. Otherwise a name such as `/Sales-Team-k3f7q2ma`: its allowed characters, and a
/// suffix that is a function of the former name. The suffix keeps groups apart whose names only differ in characters that are
/// not allowed: their members must not get each other's rights.
pub(super) fn derive_group_name(former: &str) -> Option<GroupName> {
    if let Some(name) = GroupName::parse(former) {
        return Some(name);
    }
    let allowed = |c: char| if is_group_name_char(c) { c } else { '-' };
    let parts = former.split('/').filter(|part| !part.is_empty()).map(|part| {
        let part: String = part.chars().map(allowed).collect();
        let part = part.trim_start_matches(['.', '-', ':']).trim_end_matches('-');
        if part.is_empty() { DEFAULT_PART.to_owned() } else { part.to_owned() }
    });
    let stem = parts.collect::<Vec<_>>().join("/");
    let stem = if stem.is_empty() { DEFAULT_PART } else { &stem };
    let slash = if former.starts_with('/') { "/" } else { "" };
    // Only ASCII is left.
    let most = MAX_GROUP_NAME_CHARS - slash.len() - 1 - SUFFIX_CHARS;
    let stem = stem[..stem.len().min(most)].trim_end_matches('/');
    let name = format!("{slash}{stem}-{}", suffix_of(former));
    // The prefix may be one that is reserved.
    GroupName::parse(&name).or_else(|| GroupName::parse(&name.replace(':', "-")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn derive(former: &str) -> String {
        derive_group_name(former).unwrap().to_string()
    }

    #[test]
    fn an_allowed_name_is_kept_and_another_one_gets_a_suffix() {
        for kept in ["editor", "/shop/admins", "orders:read"] {
            assert_eq!(derive(kept), kept);
        }
        for (former, beginning) in [
            ("/Sales Team", "/Sales-Team-"),
            ("/Vertrieb & Einkauf/Süd", "/Vertrieb---Einkauf/S-d-"),
            ("system:masters", "system-masters-"),
            ("//", "/group-"),
            ("", "group-"),
            ("/a/../b", "/a/group/b-"),
            ("山田", "group-"),
        ] {
            let derived = derive(former);
            assert!(derived.starts_with(beginning), "{former}: {derived}");
            assert_eq!(derived.len(), beginning.len() + SUFFIX_CHARS, "{former}: {derived}");
        }
        assert_ne!(derive("Sales Team"), derive("Sales-Team"));
        assert_ne!(derive("Sales Team"), derive("Sales+Team"));
        assert!(derive(&"ab/".repeat(100)).len() <= MAX_GROUP_NAME_CHARS);
    }

    proptest! {
        #[test]
        fn every_name_becomes_one_that_is_allowed(former in "(/|\\.|:|system:|[a-zA-Z0-9_-]|\\PC){0,160}") {
            prop_assert!(derive_group_name(&former).is_some());
        }
    }
}

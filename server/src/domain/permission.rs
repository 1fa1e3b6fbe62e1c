//! Administrative permissions: what accounts may do beyond their own data, and who may act on whom.

use std::collections::BTreeSet;
use std::fmt;

/// A permission that a group gives to its members. The names are part of the public API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Reading accounts and their groups.
    UsersRead,
    /// Creating, changing and deleting accounts, and ending their sessions.
    UsersWrite,
    /// Reading the audit log.
    AuditRead,
    /// Managing groups and their members.
    GroupsManage,
}

impl Permission {
    /// Every permission, in the order of their names.
    pub const ALL: [Self; 4] = [Self::AuditRead, Self::GroupsManage, Self::UsersRead, Self::UsersWrite];

    /// The name in the table and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UsersRead => "users.read",
            Self::UsersWrite => "users.write",
            Self::AuditRead => "audit.read",
            Self::GroupsManage => "groups.manage",
        }
    }

    /// The permission of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == name)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The permissions of a group or of an account, by name. A name that this server does not know was granted by a newer one: it
/// counts when two sets are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(BTreeSet<String>);

impl Permissions {
    /// The set with these names.
    pub fn of_names(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Adds the names of another set.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().map(|permission| permission.as_str().to_owned()).collect())
    }
}

/// What an account may do: a superuser may do everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Power {
    pub is_superuser: bool,
    /// The permissions of its groups. Nobody needs to know those of a superuser, so they may be missing.
    pub permissions: Permissions,
}

impl Power {
    /// Whether the account has this permission.
    pub fn includes(&self, permission: Permission) -> bool {
        self.is_superuser || self.permissions.0.contains(permission.as_str())
    }

    /// Whether the account has all of these permissions. Who does not must neither grant them nor change a group that holds
    /// them.
    pub fn covers_group(&self, permissions: &Permissions) -> bool {
        self.is_superuser || self.permissions.0.is_superset(&permissions.0)
    }

    /// Whether the other account may do nothing that this one may not. Otherwise this one must not be able to take it over.
    pub fn covers_account(&self, other: &Self) -> bool {
        self.is_superuser || (!other.is_superuser && self.covers_group(&other.permissions))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn power(is_superuser: bool, names: &[&str]) -> Power {
        let names = names.iter().map(|name| (*name).to_owned());
        Power { is_superuser, permissions: Permissions::of_names(names) }
    }

    fn any_power() -> impl Strategy<Value = Power> {
        let names = ["users.read", "users.write", "audit.read", "groups.manage", "of.a.newer.server"];
        let names = prop::sample::subsequence(names.to_vec(), 0..=names.len());
        (any::<bool>(), names).prop_map(|(is_superuser, names)| power(is_superuser, &names))
    }

    proptest! {
        #[test]
        fn who_covers_an_account_has_each_of_its_permissions(one in any_power(), other in any_power()) {
            if one.covers_account(&other) {
                prop_assert!(one.is_superuser || !other.is_superuser);
                for permission in Permission::ALL {
                    prop_assert!(one.includes(permission) || !other.includes(permission));
                }
            }
            prop_assert!(one.covers_account(&one));
        }

        #[test]
        fn covering_is_transitive(one in any_power(), two in any_power(), three in any_power()) {
            if one.covers_account(&two) && two.covers_account(&three) {
                prop_assert!(one.covers_account(&three));
            }
        }
    }

    #[test]
    fn a_permission_of_a_newer_server_is_covered_by_superusers_and_by_those_who_have_it() {
        let newer = power(false, &["of.a.newer.server"]);
        let all = power(false, &Permission::ALL.map(Permission::as_str));
        assert!(!all.covers_account(&newer) && !all.covers_group(&newer.permissions));
        assert!(power(true, &[]).covers_account(&newer) && newer.covers_account(&newer));
    }

    #[test]
    fn a_permission_is_found_by_its_exact_name() {
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.as_str()), Some(permission));
        }
        assert!(Permission::ALL.is_sorted_by_key(|permission| permission.as_str()));
        for other in ["", "users", "users.*", "USERS.READ", "users.read "] {
            assert_eq!(Permission::parse(other), None);
        }
    }
}

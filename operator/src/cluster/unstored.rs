//! Objects with the operator's label that belong to no existing AuthService. They are not stored: any user can create
//! any number of them. A record of fixed size remains, so that an AuthService that is created later finds out which
//! objects it has to read, and a new one without any reads none.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

/// The hashes of the group and of the name of each object. The group is the AuthService of a pod or Job, and the name
/// of any other object. Two objects with the same hashes cause a needless read.
#[derive(Default)]
pub(crate) struct Unstored {
    hasher: RandomState,
    objects: BTreeSet<(u64, u64)>,
}

impl Unstored {
    pub(crate) fn insert(&mut self, namespace: &str, group: &str, name: &str) {
        self.objects.insert(self.hashes(namespace, group, name));
    }

    /// Removes a record; `false` if there is none.
    pub(crate) fn remove(&mut self, namespace: &str, group: &str, name: &str) -> bool {
        self.objects.remove(&self.hashes(namespace, group, name))
    }

    pub(crate) fn remove_group(&mut self, namespace: &str, group: &str) {
        let group = self.hash(namespace, group);
        let records: Vec<_> = self.objects.range((group, 0)..=(group, u64::MAX)).copied().collect();
        for record in records {
            self.objects.remove(&record);
        }
    }

    pub(crate) fn contains_group(&self, namespace: &str, group: &str) -> bool {
        let group = self.hash(namespace, group);
        self.objects.range((group, 0)..=(group, u64::MAX)).next().is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    fn hashes(&self, namespace: &str, group: &str, name: &str) -> (u64, u64) {
        (self.hash(namespace, group), self.hash(namespace, name))
    }

    fn hash(&self, namespace: &str, name: &str) -> u64 {
        self.hasher.hash_one((namespace, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_exists_while_one_of_its_objects_is_recorded() {
        let mut unstored = Unstored::default();
        unstored.insert("a", "auth", "auth-1");
        unstored.insert("a", "auth", "auth-2");
        unstored.insert("b", "auth", "auth-1");
        assert!(unstored.remove("a", "auth", "auth-1") && !unstored.remove("a", "auth", "auth-1"));
        assert!(unstored.contains_group("a", "auth") && !unstored.contains_group("a", "other"));
        assert!(unstored.remove("a", "auth", "auth-2"));
        assert!(!unstored.contains_group("a", "auth"));
        unstored.remove_group("b", "auth");
        assert!(unstored.is_empty());
    }
}

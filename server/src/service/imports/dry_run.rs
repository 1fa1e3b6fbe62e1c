//! The outcome of an import without writing to the database.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use crate::store::{Imported, ImportedUser};

/// The accounts that the import would have created so far, as hashes of 8 bytes.
#[derive(Default)]
pub(super) struct DryRun {
    hasher: RandomState,
    /// Maps usernames to addresses.
    usernames: HashMap<u64, u64>,
    emails: HashSet<u64>,
}

impl DryRun {
    /// Returns the outcome for an account whose username and address do not exist in the database.
    pub(super) fn create(&mut self, user: &ImportedUser) -> Imported {
        let hash = |text: &str| self.hasher.hash_one(text.to_ascii_lowercase());
        let (username, email) = (hash(user.username.as_str()), hash(user.email.as_str()));
        let known = self.usernames.get(&username);
        if known == Some(&email) || (user.username_derived && self.emails.contains(&email)) {
            Imported::Present
        } else if known.is_some() {
            Imported::UsernameTaken
        } else if !self.emails.insert(email) {
            Imported::EmailTaken
        } else {
            self.usernames.insert(username, email);
            Imported::Made
        }
    }
}

//! What an import would do to groups, without writing to the database.

use std::collections::HashMap;

use crate::domain::GroupName;
use crate::store::{ExistingGroup, ImportedGroups, Store, StoreError};

/// The groups that exist or would have been created so far.
#[derive(Default)]
pub(super) struct DryRunGroups {
    /// By name in lower case.
    groups: HashMap<String, ExistingGroup>,
}

impl DryRunGroups {
    /// Returns what creating accounts with these groups would do.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub(super) async fn create(
        &mut self,
        store: &Store,
        accounts: &[&[GroupName]],
    ) -> Result<ImportedGroups, StoreError> {
        let names = || accounts.iter().copied().flatten();
        let mut unknown: Vec<String> =
            names().map(GroupName::folded).filter(|name| !self.groups.contains_key(name)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let found = store.find_existing_groups(&unknown).await?;
            self.groups.extend(found.into_iter().map(|group| (group.name.to_ascii_lowercase(), group)));
        }
        let mut counts = ImportedGroups::default();
        for name in names() {
            let group = self.groups.entry(name.folded()).or_insert_with(|| {
                counts.created += 1;
                ExistingGroup { id: 0, name: name.to_string(), holds_permissions: false }
            });
            if group.accepts(name) {
                counts.members += 1;
            } else {
                counts.left_out += 1;
            }
        }
        Ok(counts)
    }
}

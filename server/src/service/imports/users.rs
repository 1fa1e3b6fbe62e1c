//! Importing accounts from another system.

use std::io;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::dry_run::DryRun;
use super::dry_run_groups::DryRunGroups;
use super::reader::{Place, ReadRecord, Records};
use super::record::CheckedRecord;
use crate::crypto::{HashError, HashPool};
use crate::store::{Imported, ImportedGroups, ImportedUser, Store, StoreError};

/// Accounts per transaction.
const BATCH: usize = 1_000;

#[derive(Clone)]
pub struct ImportOptions {
    /// Hashes the digests that must not be stored.
    pub hashing: Arc<HashPool>,
    /// Whether every address counts as verified.
    pub assume_verified: bool,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// Identifies the import in audit events.
    pub run: String,
}

/// The progress of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportCounts {
    pub read: u64,
    /// Accounts created, or that would be.
    pub made: u64,
    /// Of those, accounts with an unverified address.
    pub unverified: u64,
    /// Of those, accounts without a password.
    pub without_password: u64,
    /// Of those, accounts with a derived username.
    pub derived: u64,
    /// Of those, superusers.
    pub superusers: u64,
    /// Accounts that existed already.
    pub present: u64,
    pub refused: u64,
    /// What happened, or would happen, to groups.
    pub groups: ImportedGroups,
}

/// A record that was not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRefusal {
    /// Its position in the file.
    pub place: Place,
    /// The username, if it is valid.
    pub username: Option<String>,
    /// The reason, without any value.
    pub reason: String,
}

/// Why an import stopped early. What was imported until then stays; running the command again continues.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file, or the report, cannot be read or written.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A hash could not be computed.
    #[error("{0}")]
    Hash(#[from] HashError),
}

/// Receives the progress of an import.
pub trait ImportObserver {
    /// A batch was written.
    fn progress(&mut self, counts: ImportCounts);

    /// A record was refused.
    ///
    /// # Errors
    /// The refusal could not be written down: the import stops.
    fn refused(&mut self, refusal: &ImportRefusal) -> io::Result<()>;
}

/// Imports every valid record.
///
/// # Errors
/// [`ImportError`]
pub async fn import_users(
    store: &Store,
    records: Records<'_>,
    options: &ImportOptions,
    observer: &mut impl ImportObserver,
) -> Result<ImportCounts, ImportError> {
    let dry_run = options.dry_run.then(Default::default);
    let mut import = Import { store, options, dry_run, counts: ImportCounts::default() };
    let mut batch = Vec::with_capacity(BATCH);
    for read in records {
        let ReadRecord { place, record } = read?;
        import.counts.read += 1;
        let username = record.as_ref().ok().and_then(|record| record.username.clone());
        match record.and_then(crate::service::ImportRecord::check) {
            Ok(mut record) => {
                record.user.email_verified |= options.assume_verified;
                batch.push((place, record));
            }
            Err(reason) => {
                import.counts.refused += 1;
                // An invalid username is not repeated.
                let username = username.filter(|name| crate::domain::Username::parse(name).is_some());
                observer.refused(&ImportRefusal { place, username, reason })?;
            }
        }
        if batch.len() == BATCH {
            import.import_batch(std::mem::take(&mut batch), observer).await?;
        }
    }
    import.import_batch(batch, observer).await?;
    Ok(import.counts)
}

struct Import<'a> {
    store: &'a Store,
    options: &'a ImportOptions,
    dry_run: Option<(DryRun, DryRunGroups)>,
    counts: ImportCounts,
}

impl Import<'_> {
    async fn import_batch(
        &mut self,
        batch: Vec<(Place, CheckedRecord)>,
        observer: &mut impl ImportObserver,
    ) -> Result<(), ImportError> {
        if batch.is_empty() {
            return Ok(());
        }
        let (places, records): (Vec<Place>, Vec<CheckedRecord>) = batch.into_iter().unzip();
        let has_password: Vec<bool> = records.iter().map(|record| record.hash.is_some()).collect();
        let (users, hashes): (Vec<_>, Vec<_>) =
            records.into_iter().map(|CheckedRecord { user, hash }| (user, hash)).unzip();
        let existing = self.store.find_imported(&users).await?;
        let (outcomes, groups) = if let Some((dry_run, dry_run_groups)) = &mut self.dry_run {
            let outcome =
                |(user, existing): (_, Option<Imported>)| existing.unwrap_or_else(|| dry_run.create(user));
            let outcomes: Vec<Imported> = users.iter().zip(existing).map(outcome).collect();
            let made = users.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Imported::Made);
            let made: Vec<_> = made.map(|(user, _)| user.groups.as_slice()).collect();
            (outcomes, dry_run_groups.create(self.store, &made).await?)
        } else {
            let new = users.iter().zip(hashes).zip(&existing).filter(|(_, existing)| existing.is_none());
            let new = stream::iter(new.map(|((user, hash), _)| async {
                let hashing = &self.options.hashing;
                let mut user = user.clone();
                if let Some(hash) = hash {
                    user.password_hash = Some(hashing.protect(hash).await?);
                }
                Ok::<_, HashError>(user)
            }));
            // The pool computes this many concurrently; more would wait in its queue.
            let workers = self.options.hashing.state().workers;
            let new: Vec<ImportedUser> = new.buffered(workers).try_collect().await?;
            let (made, groups) = if new.is_empty() {
                (Vec::new(), ImportedGroups::default())
            } else {
                self.store.import_users(&new, &self.options.run).await?
            };
            let mut made = made.into_iter();
            let outcomes = existing.into_iter().filter_map(|existing| existing.or_else(|| made.next()));
            (outcomes.collect::<Vec<Imported>>(), groups)
        };
        self.counts.groups.add(groups);
        for (((place, user), outcome), has_password) in
            places.into_iter().zip(&users).zip(outcomes).zip(has_password)
        {
            self.count(place, (user, has_password), outcome, observer)?;
        }
        observer.progress(self.counts);
        Ok(())
    }

    fn count(
        &mut self,
        place: Place,
        (user, has_password): (&ImportedUser, bool),
        outcome: Imported,
        observer: &mut impl ImportObserver,
    ) -> io::Result<()> {
        let counts = &mut self.counts;
        let reason = match outcome {
            Imported::Made => {
                counts.made += 1;
                counts.unverified += u64::from(!user.email_verified);
                counts.without_password += u64::from(!has_password);
                counts.derived += u64::from(user.username_derived);
                counts.superusers += u64::from(user.is_superuser);
                return Ok(());
            }
            Imported::Present => {
                counts.present += 1;
                return Ok(());
            }
            Imported::UsernameTaken => "username is taken by an account with another address",
            Imported::EmailTaken => "email is taken by an account with another username",
        };
        counts.refused += 1;
        let username = Some(user.username.to_string());
        observer.refused(&ImportRefusal { place, username, reason: reason.to_owned() })
    }
}

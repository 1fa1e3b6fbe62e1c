//! Importing accounts from another system.

use std::io;

use super::reader::{ReadRecord, Records};
use crate::store::{Imported, ImportedUser, Store, StoreError};

/// Accounts per transaction.
const BATCH: usize = 1_000;

/// The progress of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportCounts {
    pub read: u64,
    /// Accounts created.
    pub made: u64,
    /// Of those, accounts with an unverified address.
    pub unverified: u64,
    /// Accounts that existed already with this username and this address.
    pub present: u64,
    pub refused: u64,
}

/// A record that was not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRefusal {
    /// Its line in the file.
    pub line: u64,
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

/// Imports every valid record; `run` identifies the import in audit events.
///
/// # Errors
/// [`ImportError`]
pub async fn import_users(
    store: &Store,
    records: Records<'_>,
    run: &str,
    observer: &mut impl ImportObserver,
) -> Result<ImportCounts, ImportError> {
    let mut counts = ImportCounts::default();
    let mut batch = Vec::with_capacity(BATCH);
    for read in records {
        let ReadRecord { line, record } = read?;
        counts.read += 1;
        let username = record.as_ref().ok().map(|record| record.username.clone());
        match record.and_then(crate::service::ImportRecord::check) {
            Ok(user) => batch.push((line, user)),
            Err(reason) => {
                counts.refused += 1;
                // An invalid username is not repeated.
                let username = username.filter(|name| crate::domain::Username::parse(name).is_some());
                observer.refused(&ImportRefusal { line, username, reason })?;
            }
        }
        if batch.len() == BATCH {
            import_batch(store, &mut batch, run, &mut counts, observer).await?;
        }
    }
    import_batch(store, &mut batch, run, &mut counts, observer).await?;
    Ok(counts)
}

async fn import_batch(
    store: &Store,
    batch: &mut Vec<(u64, ImportedUser)>,
    run: &str,
    counts: &mut ImportCounts,
    observer: &mut impl ImportObserver,
) -> Result<(), ImportError> {
    if batch.is_empty() {
        return Ok(());
    }
    let (lines, users): (Vec<u64>, Vec<ImportedUser>) = batch.drain(..).unzip();
    let outcomes = store.import_users(&users, run).await?;
    for ((line, user), outcome) in lines.into_iter().zip(users).zip(outcomes) {
        let reason = match outcome {
            Imported::Made => {
                counts.made += 1;
                counts.unverified += u64::from(!user.email_verified);
                continue;
            }
            Imported::Present => {
                counts.present += 1;
                continue;
            }
            Imported::UsernameTaken => "username is taken by an account with another address",
            Imported::EmailTaken => "email is taken by an account with another username",
        };
        counts.refused += 1;
        let username = Some(user.username.to_string());
        observer.refused(&ImportRefusal { line, username, reason: reason.to_owned() })?;
    }
    observer.progress(*counts);
    Ok(())
}

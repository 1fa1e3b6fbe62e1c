//! The only SQL. Every method is one transaction; what it promises is in its docstring.

mod accounts;
mod administration;
mod all_sessions;
mod audit;
mod audit_search;
mod authority;
mod canaries;
mod connect_options;
mod devices;
mod email_changes;
mod error;
mod housekeeping;
mod import;
mod links;
mod login;
mod mailed_tokens;
mod one_time_tokens;
mod outbox;
mod own_account;
mod own_sessions;
mod password_hash;
mod passwords;
mod pool;
mod profile_reader;
mod refresh_tokens;
mod registrations;
mod revocations;
mod schema;
mod sessions;
mod superusers;
mod users;

use std::time::Duration;

use connect_options::connect_options;
use pool::Pool;
use profile_reader::ProfileReader;

use crate::trusted_roots::TrustedRoots;

pub use accounts::{Account, AccountQuery};
pub use administration::{AccountChange, Administered, ChangedAccount, NewAccount, ResetStarted};
pub use audit_search::{AuditEntry, AuditQuery};
pub use authority::{Actor, Administrator};
pub use canaries::CANARY_PREFIX;
pub use devices::KnownDevice;
pub use email_changes::{ConfirmationOutcome, EmailChange};
pub use error::{Conflict, ReadOnly, StoreError};
pub use housekeeping::{Expired, HousekeepingRight};
pub use import::{Imported, ImportedUser};
pub use links::LinkOwner;
pub use mailed_tokens::{Addressee, MailedToken, NewToken};
pub use one_time_tokens::TokenPurpose;
pub use outbox::{DueMail, MailKind, NewMail, OutboxCounts};
pub use own_account::{DeletionOutcome, OwnAccount, ProfileChange};
pub use own_sessions::SessionRow;
pub use passwords::{PasswordChange, PasswordReset};
pub use refresh_tokens::{RefreshOutcome, RefreshRequest};
pub use registrations::{Registration, RegistrationOutcome};
pub use revocations::{RevocationState, RevokedSession, SweepCursor};
pub use schema::{
    MigrateError, OLDEST_TOLERATED_SERVER, REQUIRED_SCHEMA_VERSION, Schema, describe_unfit, migrate,
};
pub use sessions::{NewSession, SessionOwner};
pub use users::{Credentials, NewUser, Profile};

/// How long a request waits for a connection before it is told that the database is down.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// The database behind a pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    roots: TrustedRoots,
    profiles: ProfileReader,
}

impl Store {
    /// A store that connects when it is first asked, so that a database that is down at start is waited for.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the URL cannot be understood; the sentence does not repeat it.
    pub fn connect_lazily(
        database_url: &str,
        max_connections: u32,
        roots: &TrustedRoots,
    ) -> Result<Self, StoreError> {
        let options = connect_options(database_url, roots)?;
        let options = options.application_name(&application_name());
        let pool = Pool::connect_lazily(options, max_connections, ACQUIRE_TIMEOUT);
        Ok(Self { profiles: ProfileReader::spawn(pool.clone()), pool, roots: roots.clone() })
    }

    /// Connections that exist, and how many of them are idle.
    pub fn pool_size(&self) -> (u32, usize) {
        self.pool.size()
    }

    /// Waits for running queries, then closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What connections are called: by it `migrate` sees which servers use the database.
fn application_name() -> String {
    format!("{}{REQUIRED_SCHEMA_VERSION}", schema::SERVER_APPLICATION)
}

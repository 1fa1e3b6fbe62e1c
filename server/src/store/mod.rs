//! The only SQL. Every method is one transaction; what it promises is in its docstring.

mod accounts;
mod administration;
mod all_sessions;
mod audit;
mod audit_search;
mod authority;
mod client_authority;
mod client_credentials;
mod client_tokens;
mod connection;
mod connection_limit;
mod devices;
mod email_changes;
mod error;
mod group_authority;
mod group_locks;
mod groups;
mod housekeeping;
mod import;
mod imported_groups;
mod login_probes;
mod lost_ends;
mod memberships;
mod one_time_tokens;
mod outbox;
mod own_account;
mod own_sessions;
mod password_hash;
mod passwords;
mod person_grants;
mod pool;
mod profile_reader;
mod read_only;
mod recent_ends;
mod refresh_tokens;
mod registrations;
mod revocation_feed;
mod revocations;
mod schema;
mod schema_version;
mod session_cutoffs;
mod session_limit;
mod sessions;
mod snapshots;
mod superusers;
mod unconfirmed_accounts;
mod users;

use std::sync::Arc;

use pool::Pool;
use profile_reader::ProfileReader;
use snapshots::Snapshots;

use crate::trusted_roots::TrustedRoots;

pub use accounts::{Account, AccountQuery};
pub use administration::{AccountChange, Administered, NewAccount, ResetStarted};
pub use audit_search::{AuditEntry, AuditQuery};
pub use authority::{Actor, Administrator, Agent, Right};
pub use client_authority::{ClientActor, ClientStanding};
pub use connection_limit::ConnectionLimit;
pub use devices::KnownDevice;
pub use email_changes::{ConfirmationOutcome, EmailChange};
pub use error::{Conflict, StoreError};
pub use groups::{Group, GroupChange, GroupQuery, NewGroup};
pub use housekeeping::{Expired, HousekeepingRight};
pub use import::{Imported, ImportedUser};
pub use imported_groups::{ExistingGroup, ImportedGroups};
pub use login_probes::LOGIN_PROBE_PREFIX;
pub use memberships::{Member, MembershipOutcome, MembershipQuery};
pub use one_time_tokens::{Addressee, LinkOwner, MailedToken, NewToken, TokenPurpose};
pub use outbox::{DueMail, MailKind, NewMail};
pub use own_account::{DeletionOutcome, OwnAccount, ProfileChange};
pub use own_sessions::SessionRow;
pub use passwords::PasswordChange;
pub use person_grants::{GroupsQuery, PersonGroups};
pub use profile_reader::Profile;
pub use refresh_tokens::{RefreshOutcome, RefreshRequest};
pub use registrations::Registration;
#[cfg(test)]
pub use revocation_feed::SessionCutoff;
pub use revocation_feed::{FeedHead, PUBLISHED_AT_ONCE};
pub use revocations::{RevocationState, RevokedSession, SweepCursor};
pub use schema::{Migrated, OLDEST_TOLERATED_SERVER, Progress, describe_unfit, migrate};
pub use schema_version::REQUIRED_SCHEMA_VERSION;
pub use session_cutoffs::EndedSessions;
pub use session_limit::session_limit_event;
pub use sessions::{NewSession, SessionEnd};
pub use unconfirmed_accounts::registration_expired_event;
pub use users::NewSuperuser;

/// The database behind a pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    /// The application name of the connections.
    name: String,
    roots: TrustedRoots,
    profiles: ProfileReader,
    snapshots: Arc<Snapshots>,
}

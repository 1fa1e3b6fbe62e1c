//! The use cases, one a file: no HTTP, no SQL.

mod audit;
mod authenticate;
mod authenticate_client;
mod create_first_superuser;
mod create_user;
mod error;
mod introspect;
mod login;
mod logout;
mod recover_password;
mod refresh;
mod require_superuser;
mod reset_password;
mod revoke_token;
mod show_profile;
mod tokens;

use std::sync::Arc;

use chrono::TimeDelta;
use latchkey_config::{Accounts, Registration};
use tokio::sync::Notify;

pub use authenticate::{Authenticated, authenticate};
pub use authenticate_client::{ClientCredentials, TokenClient, authenticate_client};
pub use create_first_superuser::{FirstSuperuserError, check_first_superuser, create_first_superuser};
pub use create_user::{UserForm, create_user};
pub use error::{FieldError, ServiceError};
pub use introspect::{Introspection, introspect};
pub use login::login;
pub use logout::logout;
pub use recover_password::recover_password;
pub use refresh::refresh;
pub use require_superuser::{Superuser, require_superuser};
pub use reset_password::{reset_password, reset_token_is_good};
pub use revoke_token::revoke_token;
pub use show_profile::show_profile;
pub use tokens::{IssuedToken, TokenPair};

use crate::crypto::{ClientSecret, HashPool, TokenIssuer, TokenVerifier};
use crate::metrics::Metrics;
use crate::revocation::Revocation;
use crate::store::Store;

/// What the use cases work with. Share it with an [`Arc`].
pub struct Service {
    /// The database.
    pub store: Store,
    /// Revocation checks and announcements.
    pub revocation: Arc<Revocation>,
    /// The password hash pool.
    pub hashing: Arc<HashPool>,
    /// Signs tokens.
    pub issuer: TokenIssuer,
    /// Checks tokens.
    pub verifier: TokenVerifier,
    /// Lifetime of an access token.
    pub access_lifetime: TimeDelta,
    /// Lifetime of a refresh token.
    pub refresh_lifetime: TimeDelta,
    /// What accounts may do.
    pub accounts: Accounts,
    /// Whether and how people make accounts for themselves.
    pub registration: Registration,
    /// The program that may introspect and revoke tokens, beside superusers.
    pub introspection_client: Option<ClientSecret>,
    /// Whether mail can be sent at all.
    pub mail_enabled: bool,
    /// Wakes this replica's outbox worker.
    pub outbox_wake: Arc<Notify>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

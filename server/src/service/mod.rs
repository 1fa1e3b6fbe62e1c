//! The use cases, one per file, in the folders of `http/`. They contain no HTTP and no SQL.

mod audit;
mod auth;
mod authenticate;
mod authenticate_client;
mod error;
mod housekeeping;
mod imports;
mod limit;
mod login_probe;
mod record;
mod require_superuser;
mod superusers;
mod tokens;
mod users;

use std::sync::Arc;

use chrono::TimeDelta;
use latchkey_config::{Accounts, PasswordPolicy, RateLimits, Registration};
use tokio::sync::Notify;

pub use audit::list_audit;
pub use auth::{
    Introspection, LoggedIn, LoginForm, PASSWORD_LINKS, PasswordForm, ProfileForm, RegistrationForm,
    change_password, change_profile, check_account_deletion_enabled, check_registration_enabled,
    confirm_email_change, delete_account, end_session, find_link_owner, introspect, list_sessions, login,
    logout, logout_all, recover_password, refresh, register, request_email_change, resend_verification,
    reset_password, revoke_token, show_locale, show_profile, verify_email,
};
pub use authenticate::{Authenticated, authenticate};
pub use authenticate_client::{ClientCredentials, TokenClient, authenticate_client};
pub use error::{FieldError, ServiceError};
pub use housekeeping::Housekeeper;
pub use imports::{
    ExportFormat, HashConfig, HashConfigError, ImportCounts, ImportError, ImportFormat, ImportObserver,
    ImportOptions, ImportRecord, ImportRefusal, PasswordFile, Place, ReadRecord, Records, import_users,
    open_password_file, read_export, read_records,
};
pub use limit::{DeviceCookie, LimitedAction};
pub use login_probe::probe_login;
pub use require_superuser::{Superuser, require_superuser};
pub use superusers::{FirstSuperuserError, check_first_superuser, create_first_superuser, create_superuser};
pub use tokens::{IssuedToken, TokenPair};
pub use users::{
    AccountForm, Page, UserChangeForm, UserForm, change_user, create_user, delete_user, end_user_sessions,
    list_users, show_user, start_user_reset,
};

use crate::crypto::{ClientSecret, HashPool, TokenIssuer, TokenVerifier};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::revocation::Revocation;
use crate::store::Store;

/// The dependencies and settings of the use cases. Share it with an [`Arc`].
pub struct Service {
    /// The database.
    pub store: Store,
    /// Revocation checks and announcements.
    pub revocation: Arc<Revocation>,
    /// Counts attempts.
    pub limits: Limits,
    /// The limits for attempts.
    pub rate_limits: RateLimits,
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
    /// The settings of accounts.
    pub accounts: Accounts,
    /// The rules for new passwords.
    pub password_policy: PasswordPolicy,
    /// The settings of self-registration.
    pub registration: Registration,
    /// The client that, besides superusers, may introspect and revoke tokens.
    pub introspection_client: Option<ClientSecret>,
    /// Whether e-mail is configured.
    pub mail_enabled: bool,
    /// Wakes this replica's outbox worker.
    pub outbox_wake: Arc<Notify>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

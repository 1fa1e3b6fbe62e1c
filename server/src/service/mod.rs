//! The use cases, one a file: no HTTP, no SQL.

mod audit;
mod authenticate;
mod authenticate_client;
mod change_email;
mod change_password;
mod change_profile;
mod change_user;
mod create_first_superuser;
mod create_superuser;
mod create_user;
mod delete_account;
mod delete_user;
mod end_user_sessions;
mod error;
mod housekeeping;
mod import_reader;
mod import_record;
mod import_users;
mod introspect;
mod limit;
mod list_audit;
mod list_users;
mod login;
mod logout;
mod own_account;
mod own_sessions;
mod recover_password;
mod refresh;
mod register;
mod require_superuser;
mod reset_password;
mod revoke_token;
mod show_link;
mod show_profile;
mod show_user;
mod start_user_reset;
mod tokens;
mod try_login;
mod verify_email;

use std::sync::Arc;

use chrono::TimeDelta;
use latchkey_config::{Accounts, PasswordPolicy, RateLimits, Registration};
use tokio::sync::Notify;

pub use authenticate::{Authenticated, authenticate};
pub use authenticate_client::{ClientCredentials, TokenClient, authenticate_client};
pub use change_email::{confirm_email_change, request_email_change};
pub use change_password::{PasswordForm, change_password};
pub use change_profile::{ProfileForm, change_profile, show_locale};
pub use change_user::{UserChangeForm, change_user};
pub use create_first_superuser::{FirstSuperuserError, check_first_superuser, create_first_superuser};
pub use create_superuser::create_superuser;
pub use create_user::{AccountForm, UserForm, create_user};
pub use delete_account::{check_account_deletion_enabled, delete_account};
pub use delete_user::delete_user;
pub use end_user_sessions::end_user_sessions;
pub use error::{FieldError, ServiceError};
pub use housekeeping::Housekeeper;
pub use import_reader::{ImportFormat, ReadRecord, Records, read_records};
pub use import_record::ImportRecord;
pub use import_users::{ImportCounts, ImportError, ImportObserver, ImportRefusal, import_users};
pub use introspect::{Introspection, introspect};
pub use limit::{DeviceCookie, LimitedAction};
pub use list_audit::list_audit;
pub use list_users::{Page, list_users};
pub use login::{LoggedIn, LoginForm, login};
pub use logout::logout;
pub use own_sessions::{end_session, list_sessions, logout_all};
pub use recover_password::recover_password;
pub use refresh::refresh;
pub use register::{RegistrationForm, check_registration_enabled, register};
pub use require_superuser::{Superuser, require_superuser};
pub use reset_password::{PASSWORD_LINKS, reset_password};
pub use revoke_token::revoke_token;
pub use show_link::show_link;
pub use show_profile::show_profile;
pub use show_user::show_user;
pub use start_user_reset::start_user_reset;
pub use tokens::{IssuedToken, TokenPair};
pub use try_login::try_login;
pub use verify_email::{resend_verification, verify_email};

use crate::crypto::{ClientSecret, HashPool, TokenIssuer, TokenVerifier};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::revocation::Revocation;
use crate::store::Store;

/// What the use cases work with. Share it with an [`Arc`].
pub struct Service {
    /// The database.
    pub store: Store,
    /// Revocation checks and announcements.
    pub revocation: Arc<Revocation>,
    /// How often something was tried.
    pub limits: Limits,
    /// How often it may be.
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
    /// What accounts may do.
    pub accounts: Accounts,
    /// Which new passwords are good enough.
    pub password_policy: PasswordPolicy,
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

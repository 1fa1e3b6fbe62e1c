//! The use cases, one per file, in the folders of `http/`. They contain no HTTP and no SQL.

mod account_reader;
mod admit_client;
mod announce_again;
mod audit;
mod auth;
mod authenticate;
mod authenticate_assertion;
mod authenticate_client;
mod client_attempt;
mod client_credentials;
mod client_token_checks;
mod client_tokens;
mod error;
mod exchanged_tokens;
mod fields;
mod groups;
mod housekeeping;
mod imports;
mod limit;
mod login_probe;
mod person_grant;
mod principal;
mod record;
mod require_permission;
mod require_superuser;
mod revocation_feed;
mod session_cutoffs;
mod superusers;
mod tokens;
mod users;
mod workloads;

use std::sync::Arc;

use latchkey_config::{Accounts, PasswordPolicy, RateLimits, Registration, Settings};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use admit_client::{AdmittedClient, NamedClient, admit_client};
pub use audit::list_audit;
pub use auth::{
    ClientTokenRequest, ExchangeRequest, Identity, Introspection, LoggedIn, LoginForm, PASSWORD_LINKS,
    PasswordForm, ProfileForm, RegistrationForm, change_password, change_profile,
    check_account_deletion_enabled, check_registration_enabled, confirm_email_change, delete_account,
    end_session, exchange_token, find_link_owner, grant_client_credentials, identify_bearer, introspect,
    list_sessions, login, logout, logout_all, recover_password, refresh, register, request_email_change,
    resend_verification, reset_password, revoke_token, show_locale, show_profile, verify_email,
};
pub use auth::{
    FeedCursor, FeedRequest, LONGEST_FEED_WAIT, MAX_FEED_PAGE, read_revocations, require_feed_scope,
};
pub use authenticate::{Authenticated, authenticate, authenticate_to_end};
pub use authenticate_client::{ClientCredentials, TokenClient, authenticate_client};
pub use client_attempt::Assertion;
pub use client_credentials::keep_recording_credentials;
pub use error::{FieldError, ServiceError};
pub use exchanged_tokens::AcceptedExchangedToken;
pub use groups::{
    GroupChangeForm, GroupForm, add_member, change_group, create_group, delete_group, list_groups,
    list_members, remove_member, show_group,
};
pub use housekeeping::Housekeeper;
#[cfg(any(test, fuzzing))]
pub use imports::fuzz_import;
pub use imports::{
    ExportFormat, HashConfig, ImportCounts, ImportFormat, ImportObserver, ImportOptions, ImportRecord,
    ImportRefusal, Place, Records, import_users, read_export, read_records,
};
pub use limit::{DeviceCookie, LimitedAction};
pub use login_probe::probe_login;
pub use principal::{Principal, authenticate_principal, authenticate_principal_to_end};
pub use require_permission::{Permitted, require_permission};
pub use require_superuser::{Superuser, require_superuser};
pub use session_cutoffs::keep_ending_cut_off_sessions;
pub use superusers::{FirstSuperuserError, check_first_superuser, create_first_superuser, create_superuser};
pub use tokens::{IssuedToken, TokenPair};
pub use users::{
    AccountForm, Page, UserChangeForm, UserForm, change_user, create_user, delete_user, end_user_sessions,
    list_user_groups, list_users, show_user, start_user_reset,
};

use crate::client_registry::ClientRegistry;
use crate::crypto::{ClientSecret, HashPool, KeyRing};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::revocation::Revocation;
use crate::store::Store;
use crate::token_review::TokenReviews;
use account_reader::AccountReader;
use client_token_checks::ClientTokenChecks;
use revocation_feed::RevocationFeed;
use tokens::Tokens;

/// What services share: connections, keys and the hash pool. Cheap to clone.
#[derive(Clone)]
pub struct Dependencies {
    pub store: Store,
    pub revocation: Arc<Revocation>,
    pub limits: Arc<Limits>,
    pub hashing: Arc<HashPool>,
    pub ring: Arc<KeyRing>,
    pub clients: Arc<ClientRegistry>,
    /// Asks the API server of Kubernetes about tokens of service accounts, if `WORKLOAD_IDENTITY_ENABLED` is true.
    pub token_reviews: Option<Arc<TokenReviews>>,
    /// Wakes this replica's outbox worker.
    pub outbox_wake: Arc<Notify>,
    pub metrics: Arc<Metrics>,
}

/// What the use cases work with. Share it with an [`Arc`].
pub struct Service {
    store: Store,
    revocation: Arc<Revocation>,
    accounts: AccountReader,
    clients: Arc<ClientRegistry>,
    client_token_checks: ClientTokenChecks,
    token_reviews: Option<Arc<TokenReviews>>,
    feed: Arc<RevocationFeed>,
    hashing: Arc<HashPool>,
    metrics: Arc<Metrics>,
    tokens: Tokens,
    limits: RateLimiting,
    rules: AccountRules,
    outbox: Outbox,
    /// The client that, besides superusers, may introspect and revoke any token.
    introspection_client: Option<ClientSecret>,
    /// The base of the links in e-mails.
    public_base: String,
}

/// The counters of attempts and the rates that they are held against.
struct RateLimiting {
    counters: Arc<Limits>,
    rates: RateLimits,
}

/// The settings that say what an account may be and do.
struct AccountRules {
    accounts: Accounts,
    passwords: PasswordPolicy,
    registration: Registration,
}

/// The e-mails that use cases cause: the store writes them, a worker sends them.
struct Outbox {
    /// Whether e-mail is configured.
    enabled: bool,
    wake: Arc<Notify>,
}

impl Outbox {
    /// Tells the worker of this replica that an e-mail is due.
    fn wake(&self) {
        self.wake.notify_one();
    }
}

impl Service {
    /// The service of the API.
    pub fn new(
        settings: &Settings,
        introspection_client: Option<ClientSecret>,
        dependencies: Dependencies,
    ) -> Self {
        let Dependencies {
            store,
            revocation,
            limits,
            hashing,
            ring,
            clients,
            token_reviews,
            outbox_wake,
            metrics,
        } = dependencies;
        Self {
            accounts: AccountReader::new(store.clone(), Arc::clone(&revocation)),
            clients,
            client_token_checks: ClientTokenChecks::new(Arc::clone(&revocation)),
            token_reviews,
            feed: RevocationFeed::new(Arc::clone(&ring)),
            store,
            revocation,
            hashing,
            metrics,
            tokens: Tokens::new(settings, ring),
            limits: RateLimiting { counters: limits, rates: settings.rate_limits },
            rules: AccountRules {
                accounts: settings.accounts.clone(),
                passwords: settings.password_policy.clone(),
                registration: settings.registration.clone(),
            },
            outbox: Outbox { enabled: settings.email.is_some(), wake: outbox_wake },
            introspection_client,
            public_base: settings.public_base().to_owned(),
        }
    }

    /// Looks for changes of the feed of revocations while requests wait for them, until `stop`: then no request waits.
    pub async fn follow_feed(&self, stop: CancellationToken) {
        self.feed.follow(self.store.clone(), stop).await;
    }

    /// Sets the gauges of the feed of revocations.
    pub fn measure_feed(&self) {
        self.feed.measure(&self.metrics);
    }

    /// The settings of accounts, for pages.
    pub fn accounts(&self) -> &Accounts {
        &self.rules.accounts
    }

    /// The rules for new passwords, for pages.
    pub fn password_policy(&self) -> &PasswordPolicy {
        &self.rules.passwords
    }

    /// The base of the links in e-mails, without a trailing slash.
    pub fn public_base(&self) -> &str {
        &self.public_base
    }

    /// `iss` of the tokens.
    pub fn issuer(&self) -> &str {
        self.tokens.verifier.issuer()
    }

    /// `aud` of people's tokens, and of those of clients that are not issued for another audience.
    pub fn audience(&self) -> &str {
        self.tokens.verifier.audience()
    }

    /// Whether a program may introspect and revoke tokens with a client secret.
    pub fn accepts_client_secrets(&self) -> bool {
        self.introspection_client.is_some() || self.registers_clients()
    }

    /// Whether clients can be registered.
    pub fn registers_clients(&self) -> bool {
        self.clients.is_configured()
    }
}

//! The use cases of `/api/v1/auth`.

mod change_email;
mod change_password;
mod change_profile;
mod confirm_email;
mod delete_account;
mod end_session;
mod exchange_token;
mod find_link_owner;
mod grant_client_credentials;
pub(super) mod introspect;
mod list_sessions;
mod login;
mod logout;
pub(super) mod logout_all;
pub(super) mod me;
mod password_checks;
mod password_recovery;
mod preferences;
mod refresh;
mod register;
mod resend_verification;
mod reset_password;
mod revocations;
mod revoke;
mod verify;
mod verify_email;

pub use change_email::request_email_change;
pub use change_password::{PasswordForm, change_password};
pub use change_profile::{ProfileForm, change_profile};
pub use confirm_email::confirm_email_change;
pub use delete_account::{check_account_deletion_enabled, delete_account};
pub use end_session::end_session;
pub use exchange_token::{ExchangeRequest, exchange_token};
pub use find_link_owner::find_link_owner;
pub use grant_client_credentials::{ClientTokenRequest, grant_client_credentials};
pub use introspect::{Introspection, introspect};
pub use list_sessions::list_sessions;
pub use login::{LoggedIn, LoginForm, login};
pub use logout::logout;
pub use logout_all::logout_all;
pub use me::show_profile;
pub use password_recovery::recover_password;
pub use preferences::show_locale;
pub use refresh::refresh;
pub use register::{RegistrationForm, check_registration_enabled, register};
pub use resend_verification::resend_verification;
pub use reset_password::{PASSWORD_LINKS, reset_password};
pub use revocations::{
    FeedCursor, FeedRequest, LONGEST_FEED_WAIT, MAX_FEED_PAGE, read_revocations, require_feed_scope,
};
pub use revoke::revoke_token;
pub use verify::{Identity, identify_bearer};
pub use verify_email::verify_email;

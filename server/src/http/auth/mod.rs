//! `/api/v1/auth`

pub mod change_email;
pub mod change_password;
pub mod change_profile;
pub mod confirm_email;
pub mod delete_account;
pub mod end_session;
pub mod introspect;
pub mod list_sessions;
pub mod login;
pub mod logout;
pub mod logout_all;
pub mod me;
pub mod password_recovery;
pub mod preferences;
pub mod refresh;
pub mod register;
pub mod resend_verification;
pub mod reset_password;
pub mod revocations;
pub mod revoke;
pub mod token;
pub mod verify;
pub mod verify_email;

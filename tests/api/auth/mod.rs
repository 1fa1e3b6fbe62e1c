//! `/api/v1/auth/…`

mod clients;
mod introspect;
mod login;
mod login_rehash;
mod logout;
mod me;
mod password_recovery;
mod refresh;
mod refresh_reuse;
mod reset_password;
mod reset_password_page;
mod revoke;
mod token;
mod token_refresh_grant;
mod verify;

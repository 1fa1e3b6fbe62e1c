//! `/api/v1/auth`

pub mod introspect;
pub mod login;
pub mod logout;
pub mod me;
pub mod password_recovery;
pub mod refresh;
pub mod reset_password;
pub mod revoke;
pub mod token;
pub mod verify;

mod cookie;
mod token_pair;

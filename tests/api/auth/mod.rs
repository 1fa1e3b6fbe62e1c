//! `/api/v1/auth/…`

pub mod change_email;
mod change_password;
mod change_profile;
mod client_credentials;
mod client_id;
mod client_tokens;
pub mod clients;
mod concurrent;
mod confirm_email;
mod delete_account;
mod end_session;
mod introspect;
mod invitation;
mod list_sessions;
mod login;
mod login_rehash;
mod logout;
mod logout_all;
mod many_sessions;
mod me;
mod oauth_errors;
mod password_recovery;
mod private_key_jwt;
mod refresh;
mod refresh_reuse;
pub mod register;
mod register_taken;
mod registered_clients;
mod resend_verification;
mod reset_password;
pub mod revocations;
mod revoke;
mod token;
mod token_exchange;
mod token_exchange_ends;
mod token_refresh_grant;
mod verify;
mod verify_email;
mod workload_identity;

use insta::assert_json_snapshot;
use latchkey_tests::answer::Answer;
use latchkey_tests::app::{Session, User};

/// Asserts the response of `/login` and `/refresh` with the default lifetimes, the cookie included, and returns the
/// session.
#[track_caller]
fn assert_token_pair(answer: &Answer, user: &User) -> Session {
    insta::allow_duplicates! {
    assert_json_snapshot!(answer.ok(200), {
        ".username" => "<username>",
        ".access_token.token" => "<jwt>",
        ".refresh_token.token" => "<jwt>",
    }, @r#"
    {
      "access_token": {
        "expires_in": 604800,
        "token": "<jwt>",
        "token_type": "bearer"
      },
      "refresh_token": {
        "expires_in": 31536000,
        "token": "<jwt>",
        "token_type": "bearer"
      },
      "username": "<username>"
    }
    "#);
    }
    assert_eq!(answer.json()["username"], user.username);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let session = Session::from_answer(answer);
    assert_eq!(
        answer.cookie(),
        [
            format!("refresh_token={}", session.refresh).as_str(),
            "HttpOnly",
            "Max-Age=31536000",
            "Path=/api/v1/auth",
            "SameSite=Lax",
            "Secure",
        ]
    );
    session
}

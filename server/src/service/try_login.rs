//! Trying out what the service is for: logging in, being known, logging out, being unknown.

use std::net::{IpAddr, Ipv4Addr};

use chrono::Utc;
use uuid::Uuid;

use super::{LoginForm, Service, ServiceError, authenticate, login, logout};
use crate::crypto::OneTimeSecret;
use crate::domain::{Origin, Password};
use crate::store::CANARY_PREFIX;

/// Logs in, has the token verified, logs out and has it refused, by an account that is made for this one try and
/// deleted after it: nothing stands in the database by which anybody could log in.
///
/// # Errors
/// One sentence: which step failed, and how.
pub async fn try_login(service: &Service) -> Result<(), String> {
    let secret = OneTimeSecret::generate().ok_or("the system gives no randomness")?;
    let password = Password::presented(secret.expose());
    let hash = service.hashing.hash(password.clone()).await.map_err(failed("hashing a password"))?;
    let username = format!("{CANARY_PREFIX}{}", Uuid::new_v4().simple());
    let user_id = service.store.create_canary(&username, &hash).await.map_err(failed("making an account"))?;
    let tried = log_in_and_out(service, &username, password).await;
    // Also after a failure; what cannot be deleted now is deleted by a later try.
    let deleted = service.store.delete_canary(user_id).await.map_err(failed("deleting the account"));
    tried.and(deleted)
}

async fn log_in_and_out(service: &Service, username: &str, password: Password) -> Result<(), String> {
    let origin = Origin {
        request_id: username.to_owned(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        user_agent: Some("latchkey-canary".to_owned()),
    };
    let form = LoginForm { name: username, password, device: None, remember_device: false };
    let begun = login(service, form, &origin, Utc::now()).await.map_err(failed("logging in"))?;
    let token = begun.pair.access.token.as_str();
    let bearer = authenticate(service, token, Utc::now()).await.map_err(failed("verifying the token"))?;
    logout(service, bearer, &origin).await.map_err(failed("logging out"))?;
    match authenticate(service, token, Utc::now()).await {
        Err(ServiceError::InvalidAccessToken) => Ok(()),
        Err(error) => Err(failed("looking the revocation up")(error)),
        Ok(_) => Err("the token was still accepted after the logout".to_owned()),
    }
}

fn failed<E: std::fmt::Display>(step: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{step} failed: {error}")
}

//! The login probe: one login, token check and logout against the real database and Redis.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use latchkey_config::Settings;
use uuid::Uuid;

use super::{AdmittedClient, Dependencies, LoginForm, Service, ServiceError, authenticate, login, logout};
use crate::crypto::OneTimeSecret;
use crate::domain::{Origin, Password};
use crate::metrics::Metrics;
use crate::store::LOGIN_PROBE_PREFIX;

/// Lifetime of a probe's access token, and so of its revocation.
const ACCESS_LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// Lifetime of a probe's refresh token.
const REFRESH_LIFETIME: TimeDelta = TimeDelta::minutes(10);

impl Service {
    /// The service that [`probe_login`] calls: it shares the dependencies of the real one, but its tokens are short-lived,
    /// it has no rate limits and sends no e-mail, and the metrics of real logins do not count it.
    ///
    /// # Errors
    /// The metrics cannot be registered.
    pub fn for_login_probe(
        settings: &Settings,
        dependencies: Dependencies,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Arc::new(Metrics::new()?);
        let mut service = Self::new(settings, None, Dependencies { metrics, ..dependencies });
        service.tokens.access_lifetime = ACCESS_LIFETIME;
        service.tokens.refresh_lifetime = REFRESH_LIFETIME;
        // The probe checks a signature that was made.
        service.tokens.issuer.forget_tokens();
        service.limits.rates.enabled = false;
        service.outbox.enabled = false;
        Ok(service)
    }
}

/// Logs in, verifies the token, logs out, and checks that the token is then refused. The account is created for this
/// probe and deleted after it, so that no permanent account with a known password exists.
///
/// # Errors
/// A sentence that names the step that failed and the reason.
pub async fn probe_login(service: &Service) -> Result<(), String> {
    let secret = OneTimeSecret::generate().ok_or("the random number generator failed")?;
    let password = Password::presented(secret.expose());
    let hash = service.hashing.hash(password.clone()).await.map_err(failed("hashing a password"))?;
    let username = format!("{LOGIN_PROBE_PREFIX}{}", Uuid::new_v4().simple());
    let user_id =
        service.store.create_login_probe(&username, &hash).await.map_err(failed("creating an account"))?;
    let outcome = log_in_and_out(service, &username, password).await;
    // After a failure too. A later probe deletes an account that cannot be deleted now.
    let deleted = service.store.delete_login_probe(user_id).await.map_err(failed("deleting the account"));
    outcome.and(deleted)
}

async fn log_in_and_out(service: &Service, username: &str, password: Password) -> Result<(), String> {
    let origin = Origin {
        request_id: username.to_owned(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        user_agent: Some("latchkey-login-probe".to_owned()),
    };
    let form = LoginForm {
        name: username,
        password,
        device: None,
        remember_device: false,
        is_program: true,
        client: AdmittedClient::none(),
        scope: "",
    };
    let logged_in = login(service, form, &origin, Utc::now()).await.map_err(failed("logging in"))?;
    let token = logged_in.pair.access.token.as_str();
    authenticate(service, token, Utc::now()).await.map_err(failed("verifying the token"))?;
    logout(service, token, &origin, Utc::now()).await.map_err(failed("logging out"))?;
    match authenticate(service, token, Utc::now()).await {
        Err(ServiceError::InvalidAccessToken) => Ok(()),
        Err(error) => Err(failed("checking the revocation")(error)),
        Ok(_) => Err("the token was still accepted after the logout".to_owned()),
    }
}

fn failed<E: std::fmt::Display>(step: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{step} failed: {error}")
}

//! The canary: this replica tries itself out, so that somebody hears of a login that fails before people do.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use latchkey_config::{RateLimits, Settings};

use crate::crypto::{KeyRing, TokenIssuer, TokenVerifier};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::redis_link::RedisLink;
use crate::service::{Service, try_login};

/// Between two tries while all is well.
const INTERVAL: Duration = Duration::from_mins(3);
/// Until a try that failed is made again.
const AGAIN: Duration = Duration::from_secs(15);
/// How often it is looked whether this replica is ready, before which nothing can be tried.
const LOOK: Duration = Duration::from_secs(1);
/// How long a try may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Lifetime of the access token of a try: revocations are remembered for as long.
const ACCESS_LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// Lifetime of its refresh token.
const REFRESH_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The use cases as the canary uses them: the same database, Redis, keys and hashes; tokens that expire soon; neither
/// limits nor the metrics of people's logins know of it.
///
/// # Errors
/// When the metrics cannot be made.
pub fn build_service(
    settings: &Settings,
    service: &Service,
    ring: &Arc<KeyRing>,
    link: Arc<RedisLink>,
) -> Result<Arc<Service>, prometheus::Error> {
    let (issuer, audience) = (settings.issuer(), settings.audience());
    Ok(Arc::new(Service {
        store: service.store.clone(),
        revocation: Arc::clone(&service.revocation),
        limits: Limits::new(link),
        rate_limits: RateLimits { enabled: false, ..service.rate_limits },
        hashing: Arc::clone(&service.hashing),
        issuer: TokenIssuer::new(Arc::clone(ring), issuer, audience),
        verifier: TokenVerifier::new(Arc::clone(ring), issuer, audience),
        access_lifetime: ACCESS_LIFETIME,
        refresh_lifetime: REFRESH_LIFETIME,
        accounts: service.accounts.clone(),
        password_policy: service.password_policy.clone(),
        registration: service.registration.clone(),
        introspection_client: None,
        mail_enabled: false,
        outbox_wake: Arc::clone(&service.outbox_wake),
        metrics: Arc::new(Metrics::new()?),
    }))
}

/// Tries a login whenever it is due and tells readiness what came of it.
pub async fn keep_trying(service: Arc<Service>, readiness: Arc<Readiness>) {
    loop {
        // What keeps this replica from being ready is told there already.
        while !readiness.look().await.ready {
            tokio::time::sleep(LOOK).await;
        }
        let outcome = match tokio::time::timeout(WITHIN, try_login(&service)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("it took longer than {} seconds", WITHIN.as_secs())),
        };
        let pause = match &outcome {
            Ok(()) => INTERVAL,
            Err(reason) => {
                tracing::error!(reason, "a login that was tried out failed");
                AGAIN
            }
        };
        readiness.set_login(outcome);
        tokio::time::sleep(pause).await;
    }
}

//! The login probe: each replica logs in to itself at intervals, so that an operator learns of a failing login before
//! users do.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use latchkey_config::{RateLimits, Settings};

use crate::crypto::{KeyRing, TokenIssuer, TokenVerifier};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::redis_connection::RedisConnection;
use crate::service::{Service, probe_login};

/// Between two probes while they succeed.
const INTERVAL: Duration = Duration::from_mins(3);
/// Between a failed probe and the next.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);
/// How often readiness is polled: no probe runs before the replica is ready.
const READINESS_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long one probe may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Lifetime of a probe's access token, and so of its revocation.
const ACCESS_LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// Lifetime of a probe's refresh token.
const REFRESH_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The service that the probe calls. It shares the database, Redis, keys and hash pool with the real one. Its tokens are
/// short-lived, and rate limits and the metrics of real logins do not count it.
///
/// # Errors
/// When the metrics cannot be registered.
pub fn build_service(
    settings: &Settings,
    service: &Service,
    ring: &Arc<KeyRing>,
    redis: Arc<RedisConnection>,
) -> Result<Arc<Service>, prometheus::Error> {
    let (issuer, audience) = (settings.issuer(), settings.audience());
    Ok(Arc::new(Service {
        store: service.store.clone(),
        revocation: Arc::clone(&service.revocation),
        limits: Limits::new(redis),
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

/// Probes the login at intervals and reports each outcome to `readiness`.
pub async fn run_probes(service: Arc<Service>, readiness: Arc<Readiness>) {
    loop {
        // Readiness already reports what keeps this replica from serving; a probe would add nothing.
        while !readiness.check().await.ready {
            tokio::time::sleep(READINESS_POLL_INTERVAL).await;
        }
        let outcome = match tokio::time::timeout(TIMEOUT, probe_login(&service)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("it took longer than {} seconds", TIMEOUT.as_secs())),
        };
        let pause = match &outcome {
            Ok(()) => INTERVAL,
            Err(reason) => {
                tracing::error!(reason, "the login probe failed");
                RETRY_INTERVAL
            }
        };
        readiness.set_login(outcome);
        tokio::time::sleep(pause).await;
    }
}

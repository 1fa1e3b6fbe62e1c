//! The login probe: each replica logs in to itself at intervals, so that an operator learns of a failing login before
//! users do.

use std::sync::Arc;
use std::time::Duration;

use crate::readiness::Readiness;
use crate::service::{Service, probe_login};

/// Between two probes while they succeed.
const INTERVAL: Duration = Duration::from_mins(3);
/// Between a failed probe and the next.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);
/// How often readiness is polled: no probe runs before the replica is ready.
const READINESS_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long one probe may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Probes the login at intervals and reports each outcome to `readiness`.
pub async fn run_probes(service: Service, readiness: Arc<Readiness>) {
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

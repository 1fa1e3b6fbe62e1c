//! Recording the credentials of registered clients, so that verifiers that follow the feed of revocations learn of removed
//! ones.

use std::time::Duration;

use chrono::TimeDelta;
use latchkey_clients::rules::MAX_ACCESS_TOKEN_TTL;

use super::Service;

/// As often as the registry is read.
const INTERVAL: Duration = Duration::from_secs(1);

/// Records each registry that this replica loads. Runs until it is dropped.
pub async fn keep_recording_credentials(service: &Service) {
    let lifetime = TimeDelta::seconds(MAX_ACCESS_TOKEN_TTL.into());
    let mut recorded = None;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Ok(clients) = service.clients.clients() else { continue };
        let Some(serial) = clients.serial().filter(|serial| recorded != Some(*serial)) else { continue };
        let credentials = clients.credentials();
        let number = i64::try_from(serial).unwrap_or(i64::MAX);
        match service.store.record_credentials(number, &credentials, lifetime).await {
            Ok(removed) => {
                recorded = Some(serial);
                if removed > 0 {
                    tracing::info!(serial, removed, "credentials of clients were removed");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the credentials of clients could not be recorded; retrying");
            }
        }
    }
}

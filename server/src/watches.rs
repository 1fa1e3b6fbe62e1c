//! What each replica follows while it runs: files that are replaced, and the limits of the database.

use std::sync::Arc;
use std::time::Duration;

use latchkey_config::{SecretSource, SecretText, Settings};

use crate::client_registry::{ClientRegistry, Loaded};
use crate::crypto::KeyRing;
use crate::database_url::read_database_url;
use crate::metrics::{Metrics, ReloadedFile};
use crate::readiness::Readiness;
use crate::store::Store;

/// Follows changed database credentials in the file: new connections use them without a restart of the replica.
pub async fn follow_database_login(settings: Settings, mut known: SecretText, store: Store) {
    const INTERVAL: Duration = Duration::from_secs(2);
    if matches!(settings.database_url, SecretSource::Inline(_)) {
        return;
    }
    loop {
        tokio::time::sleep(INTERVAL).await;
        // An unreadable file is probably being replaced.
        let certificate = settings.database_client_certificate.as_ref();
        let Ok(url) = read_database_url(&settings.database_url, certificate) else { continue };
        if url.expose() == known.expose() {
            continue;
        }
        match store.follow_login(url.expose()) {
            Ok(true) => tracing::info!("the database credentials changed; new connections use the new ones"),
            Ok(false) => {
                tracing::warn!("the database URL leads to another database; it takes effect after a restart");
            }
            Err(error) => {
                tracing::error!(%error, "the file has no valid database URL; the last valid one stays in use");
            }
        }
        known = url;
    }
}

/// Warns when the replicas together may need more connections than the database allows.
pub async fn watch_connection_limit(store: Store, readiness: Arc<Readiness>) {
    const INTERVAL: Duration = Duration::from_secs(10);
    let mut warned = None;
    loop {
        if let Ok(Some(limit)) = store.connection_limit().await {
            let warning = limit.describe_excess(store.max_connections());
            if let Some(warning) = warning.as_ref().filter(|_| warned != warning) {
                tracing::warn!(warning, "the database may run out of connections");
            }
            warned = warning;
            readiness.set_connection_limit(limit);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Follows the file with the registered clients.
pub async fn watch_clients(registry: Arc<ClientRegistry>, metrics: Arc<Metrics>) {
    registry
        .watch(move |outcome| match outcome {
            Ok(Loaded::Nothing) => metrics.set_file_refused(ReloadedFile::Clients, false),
            Ok(Loaded::Registry { serial, clients }) => {
                metrics.count_reload(ReloadedFile::Clients, true);
                metrics.set_registered_clients(clients);
                tracing::info!(serial, clients, "client registry loaded");
            }
            Err(error) => {
                metrics.count_reload(ReloadedFile::Clients, false);
                tracing::error!(%error, "the client registry was not loaded; the last good one stays in use");
            }
        })
        .await;
}

/// Follows the file with the signing keys.
pub async fn watch_keys(ring: Arc<KeyRing>, metrics: Arc<Metrics>) {
    ring.watch(move |outcome| match outcome {
        Ok(keys) => {
            metrics.count_reload(ReloadedFile::SigningKeys, true);
            let kids: Vec<_> = keys.iter().map(|key| format!("{} {}", key.kid, key.phase.as_str())).collect();
            tracing::info!(keys = kids.join(", "), "signing keys loaded");
        }
        Err(error) => {
            metrics.count_reload(ReloadedFile::SigningKeys, false);
            tracing::error!(%error, "the key set was not loaded; the last good one stays in use");
        }
    })
    .await;
}

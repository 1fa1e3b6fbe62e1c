//! The registry of OAuth clients (`CLIENTS_FILE`), reloaded while the server runs.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use latchkey_clients::{Client, Credential, CredentialKind, Registry, RegistryError};
use uuid::Uuid;

use crate::crypto::{PresentedSecret, ServiceAccountToken};
use crate::domain::ServiceAccount;

/// How often the file is read. Its content is compared, as that of the key set.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);
/// No registry is larger; a Secret has at most 1 MiB.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Why a registry was not loaded. The messages contain no digests.
#[derive(Debug, thiserror::Error)]
pub enum ClientRegistryError {
    #[error("CLIENTS_FILE {path} cannot be read: {reason}")]
    Unreadable { path: String, reason: ErrorKind },
    #[error("CLIENTS_FILE {path} is refused: {reason}")]
    Refused { path: String, reason: RegistryError },
    #[error("CLIENTS_FILE {path} is refused: its serial {found} is lower than {loaded}, which is loaded")]
    Older { path: String, found: u64, loaded: u64 },
}

/// The registry exists and could not be read, and none was loaded before: nothing can be said about any client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client registry could not be loaded")]
pub struct UnknownClients;

/// What the file contained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// There is no file, and there was none: no client is registered.
    Nothing,
    Registry {
        serial: u64,
        clients: usize,
    },
}

/// The registered clients at one moment.
#[derive(Debug, Default)]
pub struct Clients {
    /// `None` if there is no registry.
    serial: Option<u64>,
    by_id: HashMap<String, Arc<Client>>,
    /// By the namespace and the name of each service account: the clients that have it.
    by_service_account: HashMap<(String, String), Vec<Arc<Client>>>,
    /// The ids of the credentials of all clients.
    credentials: HashSet<Uuid>,
}

/// A client that has shown a credential.
#[derive(Debug, Clone)]
pub struct AuthenticatedClient {
    pub client: Arc<Client>,
    /// The id of the credential.
    pub credential: Uuid,
    /// What a workload has shown.
    pub workload: Option<Workload>,
}

/// The token of a service account that a workload has authenticated with.
#[derive(Debug, Clone)]
pub struct Workload {
    pub token: ServiceAccountToken,
    pub expires_at: DateTime<Utc>,
}

impl Clients {
    fn new(registry: Registry) -> Self {
        let credentials = registry.clients().iter().flat_map(|client| &client.credentials);
        let credentials = credentials.map(|credential| credential.id).collect();
        let mut found = Self { serial: Some(registry.serial()), credentials, ..Self::default() };
        for client in registry.into_clients().into_iter().map(Arc::new) {
            for (namespace, name) in client.credentials.iter().filter_map(Credential::service_account) {
                let account = (namespace.to_owned(), name.to_owned());
                found.by_service_account.entry(account).or_default().push(Arc::clone(&client));
            }
            found.by_id.insert(client.client_id.clone(), client);
        }
        found
    }

    /// The serial of the registry; `None` if there is none.
    pub fn serial(&self) -> Option<u64> {
        self.serial
    }

    /// The ids of all credentials.
    pub fn credentials(&self) -> Vec<Uuid> {
        self.credentials.iter().copied().collect()
    }

    /// The client with this id.
    pub fn find(&self, id: &str) -> Option<&Arc<Client>> {
        self.by_id.get(id)
    }

    /// Whether the client is registered with this credential, which may have expired: it is then refused, but the access
    /// tokens that were issued for it are not.
    pub fn has_credential(&self, client_id: &str, credential: Uuid) -> bool {
        self.credential(client_id, credential).is_some()
    }

    /// The credential of the client with this id.
    pub fn credential(&self, client_id: &str, credential: Uuid) -> Option<&Credential> {
        self.find(client_id)?.credentials.iter().find(|known| known.id == credential)
    }

    /// The clients that have this service account.
    pub fn of_service_account(&self, account: &ServiceAccount) -> &[Arc<Client>] {
        let key = (account.namespace.clone(), account.name.clone());
        self.by_service_account.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether all of these credentials are registered, whichever clients have them.
    pub fn have_credentials(&self, credentials: &[Uuid]) -> bool {
        credentials.iter().all(|id| self.credentials.contains(id))
    }

    /// Authenticates a client by its secret. An unknown id takes as long as a wrong secret.
    pub fn authenticate(&self, id: &str, secret: &str, now: DateTime<Utc>) -> Option<AuthenticatedClient> {
        const OF_NO_SECRET: [u8; 32] = [0; 32];
        let presented = PresentedSecret::new(secret);
        let client = self.find(id);
        let mut found = None;
        let mut is_compared = false;
        for credential in client.iter().flat_map(|client| &client.credentials) {
            let CredentialKind::Secret { sha256 } = &credential.kind else { continue };
            is_compared = true;
            let is_in_force = credential.expires_at.is_none_or(|expires_at| now < expires_at);
            if presented.has_digest(sha256.as_bytes()) && is_in_force {
                found = Some(credential.id);
            }
        }
        if !is_compared {
            let _ = presented.has_digest(&OF_NO_SECRET);
        }
        // Whatever the registry contains, nothing is not a secret.
        let credential = found.filter(|_| !secret.is_empty())?;
        Some(AuthenticatedClient { client: Arc::clone(client?), credential, workload: None })
    }
}

/// The current registry. If the file becomes unreadable or invalid, the last valid one stays in use.
pub struct ClientRegistry {
    /// `None`: no client can be registered.
    path: Option<PathBuf>,
    /// `None`: [`UnknownClients`].
    current: ArcSwapOption<Clients>,
}

impl ClientRegistry {
    /// Creates a registry without clients; [`ClientRegistry::reload`] fills it.
    pub fn new(path: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self { path, current: ArcSwapOption::from_pointee(Clients::default()) })
    }

    /// Whether clients can be registered.
    pub fn is_configured(&self) -> bool {
        self.path.is_some()
    }

    /// The clients that are registered now.
    ///
    /// # Errors
    /// [`UnknownClients`]: the caller accepts nothing that depends on a client.
    pub fn clients(&self) -> Result<Arc<Clients>, UnknownClients> {
        self.current.load_full().ok_or(UnknownClients)
    }

    /// The serial of the loaded registry and its number of clients; `None` if none is loaded.
    pub fn loaded(&self) -> Option<(u64, usize)> {
        let clients = self.current.load();
        let clients = clients.as_ref()?;
        Some((clients.serial?, clients.by_id.len()))
    }

    /// Reads the file and replaces the clients.
    ///
    /// # Errors
    /// [`ClientRegistryError`]; the last valid registry stays in use.
    pub fn reload(&self) -> Result<Loaded, ClientRegistryError> {
        let Some(path) = &self.path else { return Ok(Loaded::Nothing) };
        self.install(path, read(path))
    }

    /// Watches the file and never returns. Calls `report` once for each content that was loaded or refused.
    pub async fn watch(self: Arc<Self>, report: impl Fn(Result<Loaded, ClientRegistryError>) + Send) {
        let Some(path) = self.path.clone() else { return std::future::pending().await };
        let mut seen = None;
        let mut ticks = tokio::time::interval(RELOAD_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (registry, path, last) = (Arc::clone(&self), path.clone(), seen.clone());
            // Thousands of clients take longer to parse than requests should wait.
            let looked = tokio::task::spawn_blocking(move || {
                let found = read(&path);
                let fingerprint = fingerprint_of(&found);
                let is_new = last.as_ref() != Some(&fingerprint);
                is_new.then(|| (fingerprint, registry.install(&path, found)))
            });
            if let Ok(Some((fingerprint, outcome))) = looked.await {
                seen = Some(fingerprint);
                report(outcome);
            }
        }
    }

    fn install(
        &self,
        path: &Path,
        found: Result<Option<Vec<u8>>, ErrorKind>,
    ) -> Result<Loaded, ClientRegistryError> {
        let outcome = self.decide(path, found);
        match &outcome {
            Ok(clients) => self.current.store(Some(Arc::clone(clients))),
            Err(_) if self.loaded().is_none() => self.current.store(None),
            Err(_) => {}
        }
        outcome.map(|clients| match clients.serial {
            Some(serial) => Loaded::Registry { serial, clients: clients.by_id.len() },
            None => Loaded::Nothing,
        })
    }

    fn decide(
        &self,
        path: &Path,
        found: Result<Option<Vec<u8>>, ErrorKind>,
    ) -> Result<Arc<Clients>, ClientRegistryError> {
        let shown = || path.display().to_string();
        let unreadable = |reason| ClientRegistryError::Unreadable { path: shown(), reason };
        let loaded = self.loaded().map(|(serial, _)| serial);
        let Some(bytes) = found.map_err(unreadable)? else {
            // The operator never deletes the registry, and empties it when the last client is removed.
            return if loaded.is_some() { Err(unreadable(ErrorKind::NotFound)) } else { Ok(Arc::default()) };
        };
        let registry = Registry::parse(&bytes)
            .map_err(|reason| ClientRegistryError::Refused { path: shown(), reason })?;
        match loaded {
            // A removed client must not come back.
            Some(loaded) if registry.serial() < loaded => {
                Err(ClientRegistryError::Older { path: shown(), found: registry.serial(), loaded })
            }
            _ => Ok(Arc::new(Clients::new(registry))),
        }
    }
}

/// `None` if there is no file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ErrorKind> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.kind()),
    }
}

fn fingerprint_of(found: &Result<Option<Vec<u8>>, ErrorKind>) -> Vec<u8> {
    match found {
        Ok(Some(bytes)) => digest::digest(&digest::SHA256, bytes).as_ref().to_vec(),
        Ok(None) => Vec::new(),
        Err(kind) => kind.to_string().into_bytes(),
    }
}

/// A registry. What is accepted can be written and read again.
#[cfg(any(test, fuzzing))]
pub fn fuzz_registry(data: &[u8]) {
    if let Ok(registry) = Registry::parse(data) {
        let again = Registry::parse(&registry.to_gzip()).expect("it was accepted");
        assert!(again == registry, "the registry changes when it is written");
        let clients = Clients::new(registry);
        assert!(clients.authenticate("orders", "", DateTime::default()).is_none());
    }
}

#[cfg(test)]
#[path = "client_registry_tests.rs"]
mod tests;

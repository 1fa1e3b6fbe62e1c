//! The observed AuthClients of all AuthServices.

use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::cluster::observed_client::ObservedClient;

/// The cached AuthClients. Empty as long as their definition is not installed.
#[derive(Clone)]
pub(crate) struct AuthClients {
    store: Store<ObservedClient>,
    writer: Arc<Mutex<Writer<ObservedClient>>>,
    complete: watch::Sender<bool>,
}

// The writer of kube has no such implementation.
impl std::fmt::Debug for AuthClients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthClients").field("complete", &self.is_complete()).finish_non_exhaustive()
    }
}

impl AuthClients {
    pub(crate) fn new() -> Self {
        let (store, writer) = reflector::store();
        Self { store, writer: Arc::new(Mutex::new(writer)), complete: watch::Sender::new(false) }
    }

    /// Processes an event of the watch.
    pub(crate) fn process(&self, event: &Event<ObservedClient>) {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).apply_watcher_event(event);
        if matches!(event, Event::InitDone) {
            self.complete.send_replace(true);
        }
    }

    /// The definition is not installed any more.
    pub(crate) fn close(&self) {
        self.complete.send_replace(false);
    }

    /// Whether all AuthClients are known. Before that, a client that is not in the store may exist.
    pub(crate) fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Waits until all AuthClients are known, which may be never.
    pub(crate) async fn wait_until_complete(&self) {
        // The sender is in this object.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// The AuthClients of an AuthService.
    pub(crate) fn of(&self, namespace: &str, name: &str) -> Vec<Arc<ObservedClient>> {
        self.select(|client| client.salvaged().is_for(namespace, name))
    }

    /// The AuthClients that match.
    pub(crate) fn select(&self, matches: impl Fn(&ObservedClient) -> bool) -> Vec<Arc<ObservedClient>> {
        self.store.state_filter(matches)
    }

    pub(crate) fn get(&self, client: &ObjectRef<ObservedClient>) -> Option<Arc<ObservedClient>> {
        self.store.get(client)
    }

    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }

    pub(crate) fn store(&self) -> Store<ObservedClient> {
        self.store.clone()
    }
}

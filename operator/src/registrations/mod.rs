//! The registration of OAuth clients: what the reconcile of each AuthClient submits, and what the reconcile of its
//! AuthService publishes about the registry and the replicas. Both are kept in memory only; after a restart, every
//! AuthClient submits again, and the registry in the cluster stays as it is until then.

mod published;
mod registry;
mod seniority;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use latchkey_clients::{Client, SecretDigest};

pub(crate) use published::{Loaded, Published, View, Written};
pub(crate) use registry::{Member, next_registry};
pub(crate) use seniority::seniority;

/// What the registry is to contain for one AuthClient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The client with its keys and service accounts, and without its secrets.
    pub client: Client,
    /// Whether it authenticates with a secret. If it does not, secrets that it had stop working.
    pub has_secret: bool,
    /// The secret that applications read. `None` if it is not known at the moment, or if the client has none: the
    /// registered secrets stay.
    pub current: Option<SecretDigest>,
    /// The secret that is to replace it as soon as every replica accepts it.
    pub next: Option<SecretDigest>,
    /// How long a previous secret works, in seconds.
    pub overlap: i64,
    /// Whether previous secrets stop working now.
    pub revokes_previous: bool,
}

/// The last decision about one AuthClient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It is not to be registered.
    Withheld,
    Wanted(Box<Wanted>),
}

/// What the reconciles of AuthClients and AuthServices tell each other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registrations(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// By the uid of the AuthClient, each with its number.
    entries: HashMap<String, (u64, Entry)>,
    /// The number of decisions so far.
    decisions: u64,
    /// By the uid of the AuthService.
    published: HashMap<String, Arc<Published>>,
}

impl Registrations {
    /// Submits the decision about an AuthClient. Returns whether it is a new one.
    pub(crate) fn submit(&self, client_uid: &str, entry: Entry) -> bool {
        let mut content = self.lock();
        let changed = content.entries.get(client_uid).is_none_or(|(_, known)| *known != entry);
        if changed {
            content.decisions += 1;
            let number = content.decisions;
            content.entries.insert(client_uid.to_owned(), (number, entry));
        }
        changed
    }

    /// The last decision about an AuthClient; `None` if this process has made none yet.
    pub(crate) fn entry(&self, client_uid: &str) -> Option<Entry> {
        self.lock().entries.get(client_uid).map(|(_, entry)| entry.clone())
    }

    /// The number of that decision; zero if there is none.
    pub(crate) fn number(&self, client_uid: &str) -> u64 {
        self.lock().entries.get(client_uid).map_or(0, |(number, _)| *number)
    }

    /// The number of decisions so far. A registry that is rendered after this call contains all of them.
    pub(crate) fn decisions(&self) -> u64 {
        self.lock().decisions
    }

    /// Publishes the state of an AuthService. Returns the one before.
    pub(crate) fn publish(&self, service_uid: &str, published: Published) -> Option<Arc<Published>> {
        self.lock().published.insert(service_uid.to_owned(), Arc::new(published))
    }

    /// The state of an AuthService; `None` if this process has not reconciled it yet.
    pub(crate) fn published(&self, service_uid: &str) -> Option<Arc<Published>> {
        self.lock().published.get(service_uid).cloned()
    }

    /// Forgets the decision about an AuthClient that was deleted.
    pub(crate) fn forget_client(&self, client_uid: &str) {
        self.lock().entries.remove(client_uid);
    }

    /// Forgets the AuthServices that are not in this list.
    pub(crate) fn retain_services(&self, existing: &HashSet<String>) {
        self.lock().published.retain(|uid, _| existing.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::registry::tests::wanted;
    use super::*;

    #[test]
    fn only_another_decision_is_a_change() {
        let registrations = Registrations::default();
        assert_eq!(registrations.entry("1"), None);
        assert!(registrations.submit("1", Entry::Withheld));
        assert!(!registrations.submit("1", Entry::Withheld));
        assert!(registrations.submit("1", Entry::Wanted(Box::new(wanted("orders", Some(1))))));
        assert!(!registrations.submit("1", Entry::Wanted(Box::new(wanted("orders", Some(1))))));
        registrations.forget_client("1");
        assert_eq!(registrations.entry("1"), None);
    }
}

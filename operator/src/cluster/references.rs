//! The Secrets and ConfigMaps that AuthServices reference. A watch of each kind reports the metadata of all objects;
//! those without a reference are dropped. The data are read while an AuthService references the object, once per
//! change.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use latchkey_crds::AuthService;
use tokio::sync::OwnedMutexGuard;

use crate::cluster::cached_object::CachedObject;

/// How long a task waits for another task that reads the same object.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Namespace and name.
type Key = (String, String);

/// A few distinct names: most objects are used by one AuthService, and each AuthService references a few.
type Few = Vec<Box<str>>;

/// The state of a referenced object.
#[derive(Debug)]
pub(crate) enum NamedState {
    /// It was read; `None` if it does not exist.
    Read(Option<Arc<CachedObject>>),
    /// It must be read from the API server; the value is passed to [`NamedObjects::insert`].
    Unread(Option<u64>),
}

/// The names of the objects of one kind whose changes concern an AuthService, in its namespace.
pub(crate) type NamesOf = fn(&AuthService) -> BTreeSet<String>;

/// The referenced objects of one kind, the AuthServices that reference them, and the data that were read.
#[derive(Clone)]
pub(crate) struct NamedObjects {
    names_of: NamesOf,
    content: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    objects: HashMap<Key, Named>,
    /// The objects that each AuthService references.
    by_service: HashMap<Key, Few>,
}

/// The response of the API server.
#[derive(Clone)]
enum Read {
    Found(Arc<CachedObject>),
    Missing,
}

impl Read {
    fn object(&self) -> Option<&Arc<CachedObject>> {
        match self {
            Self::Found(object) => Some(object),
            Self::Missing => None,
        }
    }
}

#[derive(Default)]
struct Named {
    /// The AuthServices of its namespace that reference it.
    by: Few,
    /// Counts observed changes, so that a response to an earlier request is not taken for the current state.
    changes: u64,
    /// Held while it is read: concurrent reconciles wait for one response instead of sending the same request.
    reading: Option<Arc<tokio::sync::Mutex<()>>>,
    /// Its data; `None` before it is read, and after a change.
    read: Option<Read>,
}

impl NamedObjects {
    pub(crate) fn new(names_of: NamesOf) -> Self {
        Self { names_of, content: Arc::default() }
    }

    /// Updates the references of an AuthService; objects without references are removed.
    pub(crate) fn follow(&self, auth_service: &AuthService) {
        let key = key_of(auth_service);
        self.lock().set(&key, (self.names_of)(auth_service));
    }

    /// Removes an AuthService, and objects that no other AuthService references.
    pub(crate) fn forget(&self, auth_service: &AuthService) {
        self.lock().set(&key_of(auth_service), BTreeSet::new());
    }

    /// Removes the AuthServices that are not in this list. Returns namespace and name of each.
    pub(crate) fn retain<'a>(&self, existing: impl Iterator<Item = &'a AuthService>) -> Vec<Key> {
        let existing: BTreeSet<Key> = existing.map(key_of).collect();
        let mut content = self.lock();
        let gone: Vec<Key> =
            content.by_service.keys().filter(|key| !existing.contains(*key)).cloned().collect();
        for key in &gone {
            content.set(key, BTreeSet::new());
        }
        gone
    }

    /// Observes the version of an object, or its deletion. Returns the names of the AuthServices of its namespace that
    /// reference it, if it changed.
    pub(crate) fn observe(&self, namespace: &str, name: &str, version: Option<&str>) -> Vec<String> {
        self.lock().observe(&(namespace.to_owned(), name.to_owned()), version)
    }

    /// Observes a complete list, by namespace and name, with the versions. Returns namespace and name of the
    /// AuthServices that are affected.
    pub(crate) fn observe_all(&self, listed: &HashMap<Key, String>) -> Vec<Key> {
        let mut content = self.lock();
        let objects: Vec<Key> = content.objects.keys().cloned().collect();
        let mut concerned = Vec::new();
        for key in objects {
            let services = content.observe(&key, listed.get(&key).map(String::as_str));
            concerned.extend(services.into_iter().map(|service| (key.0.clone(), service)));
        }
        concerned
    }

    /// Whether an AuthService references it.
    pub(crate) fn is_named(&self, namespace: &str, name: &str) -> bool {
        self.lock().objects.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    /// Waits until no other task reads the object, and lets no other task read it as long as the guard exists. `None` if
    /// no AuthService references it, or if the other task takes long.
    pub(crate) async fn begin_read(&self, namespace: &str, name: &str) -> Option<OwnedMutexGuard<()>> {
        let key = (namespace.to_owned(), name.to_owned());
        let reading = self.lock().objects.get_mut(&key)?.reading.get_or_insert_default().clone();
        // A request without a response must not delay the others for as long as its own timeout.
        tokio::time::timeout(LONGEST_WAIT, reading.lock_owned()).await.ok()
    }

    /// The object, if no change was observed since it was read.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> NamedState {
        match self.lock().objects.get(&(namespace.to_owned(), name.to_owned())) {
            Some(Named { read: Some(read), .. }) => NamedState::Read(read.object().cloned()),
            Some(named) => NamedState::Unread(Some(named.changes)),
            None => NamedState::Unread(None),
        }
    }

    /// Stores the object, unless a change was observed since [`NamedObjects::get`] returned `changes`.
    pub(crate) fn insert(
        &self,
        namespace: &str,
        name: &str,
        changes: Option<u64>,
        object: Option<Arc<CachedObject>>,
    ) {
        if let Some(named) = self.lock().objects.get_mut(&(namespace.to_owned(), name.to_owned())) {
            named.reading = None;
            if Some(named.changes) == changes {
                named.read = Some(object.map_or(Read::Missing, Read::Found));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn set(&mut self, service: &Key, names: BTreeSet<String>) {
        let before = self.by_service.remove(service).unwrap_or_default();
        for name in before.iter().filter(|name| !names.contains(&***name)) {
            let key = (service.0.clone(), name.to_string());
            if let Some(object) = self.objects.get_mut(&key) {
                object.by.retain(|name| **name != *service.1);
                if object.by.is_empty() {
                    self.objects.remove(&key);
                }
            }
        }
        for name in names.iter().filter(|name| !before.iter().any(|other| **other == ***name)) {
            let object = self.objects.entry((service.0.clone(), name.clone())).or_default();
            object.by.reserve_exact(1);
            object.by.push(service.1.as_str().into());
        }
        if !names.is_empty() {
            self.by_service.insert(service.clone(), names.into_iter().map(String::into_boxed_str).collect());
        }
    }

    fn observe(&mut self, key: &Key, version: Option<&str>) -> Vec<String> {
        let Some(named) = self.objects.get_mut(key) else { return Vec::new() };
        let unchanged = named
            .read
            .as_ref()
            .is_some_and(|read| read.object().and_then(|object| object.version()) == version);
        if unchanged {
            return Vec::new();
        }
        named.changes = named.changes.wrapping_add(1);
        named.read = None;
        named.by.iter().map(ToString::to_string).collect()
    }
}

fn key_of(auth_service: &AuthService) -> Key {
    (auth_service.namespace().unwrap_or_default(), auth_service.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::kinds::Kind;
    use crate::names::Names;

    /// The Secret of the database and the AuthService's own.
    fn named_secrets() -> NamedObjects {
        NamedObjects::new(|auth_service| {
            let own = Names::new(&auth_service.name_any()).secrets();
            let database = auth_service.spec.database.url_secret_ref.as_ref();
            database.map(|reference| reference.name.clone()).into_iter().chain(own).collect()
        })
    }

    fn auth_service(name: &str, database: Option<&str>) -> AuthService {
        let database = database.map(|name| json!({"urlSecretRef": {"name": name}}));
        serde_json::from_value(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
            "metadata": {"name": name, "namespace": "a"},
            "spec": database.map_or(json!({}), |database| json!({"database": database})),
        }))
        .unwrap()
    }

    fn put(secrets: &NamedObjects, name: &str, version: &str) {
        let secret = json!({"metadata": {"name": name, "namespace": "a", "resourceVersion": version}});
        let object = CachedObject::new(Kind::Secret, serde_json::from_value(secret).unwrap());
        let key = ("a".to_owned(), name.to_owned());
        secrets.lock().objects.get_mut(&key).unwrap().read = Some(Read::Found(Arc::new(object)));
    }

    fn is_read(secrets: &NamedObjects, name: &str) -> bool {
        secrets
            .lock()
            .objects
            .get(&("a".to_owned(), name.to_owned()))
            .is_some_and(|named| named.read.is_some())
    }

    #[test]
    fn an_object_without_references_is_removed_and_triggers_nothing() {
        let secrets = named_secrets();
        assert!(secrets.observe("a", "db", Some("1")).is_empty());
        secrets.follow(&auth_service("x", Some("db")));
        secrets.follow(&auth_service("y", Some("db")));
        assert_eq!(secrets.observe("a", "db", Some("1")), ["x", "y"]);
        assert!(secrets.observe("b", "db", Some("1")).is_empty(), "another namespace's");
        assert_eq!(secrets.observe("a", "x-jwt-keys", None), ["x"]);
        put(&secrets, "db", "1");
        secrets.follow(&auth_service("x", Some("other")));
        assert!(is_read(&secrets, "db"));
        secrets.forget(&auth_service("y", None));
        assert!(!secrets.is_named("a", "db"));
        secrets.retain(std::iter::empty());
        assert!(secrets.lock().objects.is_empty() && secrets.lock().by_service.is_empty());
    }

    #[test]
    fn an_object_that_was_read_is_valid_until_another_version_is_observed() {
        let secrets = named_secrets();
        secrets.follow(&auth_service("x", Some("db")));
        put(&secrets, "db", "7");
        assert!(secrets.observe("a", "db", Some("7")).is_empty());
        assert!(is_read(&secrets, "db"));
        assert_eq!(secrets.observe("a", "db", Some("8")), ["x"]);
        assert!(!is_read(&secrets, "db"));
        put(&secrets, "db", "8");
        assert_eq!(secrets.observe("a", "db", None), ["x"]);
        assert!(!is_read(&secrets, "db"));
        put(&secrets, "db", "9");
        // A list without the Secret, and one with it.
        assert_eq!(secrets.observe_all(&HashMap::new()).len(), 6);
        assert!(!is_read(&secrets, "db"));
        put(&secrets, "db", "9");
        secrets.observe_all(&HashMap::from([(("a".to_owned(), "db".to_owned()), "9".to_owned())]));
        assert!(is_read(&secrets, "db"));
    }
}

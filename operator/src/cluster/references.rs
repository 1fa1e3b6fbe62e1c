//! The Secrets and ConfigMaps that AuthServices or AuthClients reference. A watch of each kind reports the metadata of
//! all objects; those without a reference are dropped. The data are read while something references the object, once per
//! change.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::cluster::cached_object::CachedObject;

/// How long a task waits for another task that reads the same object.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Namespace and name.
type Key = (String, String);

/// A few distinct names: most objects have one referrer, and each referrer has a few references.
type Few = Vec<Box<str>>;

/// The state of a referenced object.
#[derive(Debug)]
pub(crate) enum NamedState {
    /// It was read; `None` if it does not exist.
    Read(Option<Arc<CachedObject>>),
    /// It must be read from the API server; the value is passed to [`NamedObjects::insert`].
    Unread(Option<u64>),
}

/// The referenced objects of one kind, the referrers of one kind, and the data that were read. A referrer is an
/// AuthService or an AuthClient; it references objects of its namespace.
#[derive(Clone, Default)]
pub(crate) struct NamedObjects {
    content: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    objects: HashMap<Key, Named>,
    /// The objects that each referrer references.
    by_referrer: HashMap<Key, Few>,
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
    /// The referrers, by name, in its namespace.
    by: Few,
    /// Counts observed changes, so that a response to an earlier request is not taken for the current state.
    changes: u64,
    /// Held while it is read: concurrent reconciles wait for one response instead of sending the same request.
    reading: Option<Arc<tokio::sync::Mutex<()>>>,
    /// Its data; `None` before it is read, and after a change.
    read: Option<Read>,
}

impl NamedObjects {
    /// Updates the references of a referrer; objects without references are removed.
    pub(crate) fn follow(&self, namespace: &str, referrer: &str, names: BTreeSet<String>) {
        self.lock().set(&(namespace.to_owned(), referrer.to_owned()), names);
    }

    /// Removes a referrer, and objects that no other one references.
    pub(crate) fn forget(&self, namespace: &str, referrer: &str) {
        self.follow(namespace, referrer, BTreeSet::new());
    }

    /// Removes the referrers that are not in this list, by namespace and name. Returns namespace and name of each.
    pub(crate) fn retain(&self, existing: &BTreeSet<Key>) -> Vec<Key> {
        let mut content = self.lock();
        let gone: Vec<Key> =
            content.by_referrer.keys().filter(|key| !existing.contains(*key)).cloned().collect();
        for key in &gone {
            content.set(key, BTreeSet::new());
        }
        gone
    }

    /// Observes the version of an object, or its deletion. Returns the names of the referrers, if it changed.
    pub(crate) fn observe(&self, namespace: &str, name: &str, version: Option<&str>) -> Vec<String> {
        self.lock().observe(&(namespace.to_owned(), name.to_owned()), version)
    }

    /// Observes a complete list, by namespace and name, with the versions. Returns namespace and name of the
    /// affected referrers.
    pub(crate) fn observe_all(&self, listed: &HashMap<Key, String>) -> Vec<Key> {
        let mut content = self.lock();
        let objects: Vec<Key> = content.objects.keys().cloned().collect();
        let mut concerned = Vec::new();
        for key in objects {
            let referrers = content.observe(&key, listed.get(&key).map(String::as_str));
            concerned.extend(referrers.into_iter().map(|referrer| (key.0.clone(), referrer)));
        }
        concerned
    }

    /// Whether anything references it.
    pub(crate) fn is_named(&self, namespace: &str, name: &str) -> bool {
        self.lock().objects.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    /// Waits until no other task reads the object, and lets no other task read it as long as the guard exists. `None` if
    /// nothing references it, or if the other task takes long.
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

    /// Stores an object as this process wrote it, until another version is observed.
    pub(crate) fn store(&self, namespace: &str, name: &str, object: Arc<CachedObject>) {
        if let Some(named) = self.lock().objects.get_mut(&(namespace.to_owned(), name.to_owned())) {
            named.changes = named.changes.wrapping_add(1);
            named.read = Some(Read::Found(object));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn set(&mut self, referrer: &Key, names: BTreeSet<String>) {
        let before = self.by_referrer.remove(referrer).unwrap_or_default();
        for name in before.iter().filter(|name| !names.contains(&***name)) {
            let key = (referrer.0.clone(), name.to_string());
            if let Some(object) = self.objects.get_mut(&key) {
                object.by.retain(|name| **name != *referrer.1);
                if object.by.is_empty() {
                    self.objects.remove(&key);
                }
            }
        }
        for name in names.iter().filter(|name| !before.iter().any(|other| **other == ***name)) {
            let object = self.objects.entry((referrer.0.clone(), name.clone())).or_default();
            object.by.reserve_exact(1);
            object.by.push(referrer.1.as_str().into());
        }
        if !names.is_empty() {
            self.by_referrer
                .insert(referrer.clone(), names.into_iter().map(String::into_boxed_str).collect());
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::kinds::Kind;
    use crate::names::Names;

    /// The Secret of the database and those of the AuthService itself.
    fn follow(secrets: &NamedObjects, name: &str, database: Option<&str>) {
        let own = Names::new(name).secrets();
        secrets.follow("a", name, database.map(str::to_owned).into_iter().chain(own).collect());
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
        let secrets = NamedObjects::default();
        assert!(secrets.observe("a", "db", Some("1")).is_empty());
        follow(&secrets, "x", Some("db"));
        follow(&secrets, "y", Some("db"));
        assert_eq!(secrets.observe("a", "db", Some("1")), ["x", "y"]);
        assert!(secrets.observe("b", "db", Some("1")).is_empty(), "another namespace's");
        assert_eq!(secrets.observe("a", "x-jwt-keys", None), ["x"]);
        put(&secrets, "db", "1");
        follow(&secrets, "x", Some("other"));
        assert!(is_read(&secrets, "db"));
        secrets.forget("a", "y");
        assert!(!secrets.is_named("a", "db"));
        secrets.retain(&BTreeSet::new());
        assert!(secrets.lock().objects.is_empty() && secrets.lock().by_referrer.is_empty());
    }

    #[test]
    fn an_object_that_was_read_is_valid_until_another_version_is_observed() {
        let secrets = NamedObjects::default();
        follow(&secrets, "x", Some("db"));
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
        assert_eq!(secrets.observe_all(&HashMap::new()).len(), 7);
        assert!(!is_read(&secrets, "db"));
        put(&secrets, "db", "9");
        secrets.observe_all(&HashMap::from([(("a".to_owned(), "db".to_owned()), "9".to_owned())]));
        assert!(is_read(&secrets, "db"));
    }
}

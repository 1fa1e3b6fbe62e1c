//! The Secrets that AuthServices reference. A watch reports changes of all Secrets without their data. The data are
//! only read while an AuthService references the Secret, once per change.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use latchkey_crds::AuthService;

use crate::cluster::cached_object::CachedObject;

/// Namespace and name.
type Key = (String, String);

/// A few distinct names: most Secrets are used by one AuthService, and each AuthService references a few.
type Few = Vec<Box<str>>;

/// The state of a Secret.
#[derive(Debug)]
pub enum SecretState {
    /// It was read: its data, or that it does not exist.
    Read(Option<Arc<CachedObject>>),
    /// It must be read from the API server; the value is passed to [`NamedSecrets::keep`].
    Unread(Option<u64>),
}

/// Which objects an AuthService refers to. This module only follows them.
#[derive(Clone, Copy)]
pub(crate) struct ReferenceRules {
    /// The names of the Secrets whose changes concern an AuthService, in its namespace.
    pub secrets: fn(&AuthService) -> BTreeSet<String>,
    /// Whether changes of the ConfigMap of this name, in its namespace, concern an AuthService.
    pub config_map: fn(&AuthService, &str) -> bool,
}

/// The referenced Secrets, the AuthServices that reference them, and the data that were read.
#[derive(Clone)]
pub(crate) struct NamedSecrets {
    secrets_of: fn(&AuthService) -> BTreeSet<String>,
    content: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    secrets: HashMap<Key, Named>,
    /// The Secrets that each AuthService references.
    by_service: HashMap<Key, Few>,
}

/// The response of the API server.
#[derive(Clone)]
enum Read {
    Found(Arc<CachedObject>),
    Missing,
}

impl Read {
    fn secret(&self) -> Option<&Arc<CachedObject>> {
        match self {
            Self::Found(secret) => Some(secret),
            Self::Missing => None,
        }
    }
}

/// One Secret.
#[derive(Default)]
struct Named {
    /// The AuthServices of its namespace that reference it.
    by: Few,
    /// Counts observed changes, so that a response to an earlier request is not taken for the current state.
    changes: u64,
    /// Its data; `None` before it is read, and after a change.
    read: Option<Read>,
}

impl NamedSecrets {
    /// An empty set. `secrets_of` returns the Secrets that an AuthService references.
    pub fn new(secrets_of: fn(&AuthService) -> BTreeSet<String>) -> Self {
        Self { secrets_of, content: Arc::default() }
    }

    /// Updates the references of an AuthService; Secrets without references are removed.
    pub fn follow(&self, auth_service: &AuthService) {
        let key = key_of(auth_service);
        self.lock().set(&key, (self.secrets_of)(auth_service));
    }

    /// Removes an AuthService, and Secrets that no other AuthService references.
    pub fn forget(&self, auth_service: &AuthService) {
        self.lock().set(&key_of(auth_service), BTreeSet::new());
    }

    /// Removes the AuthServices that are not in this list.
    pub fn retain<'a>(&self, there: impl Iterator<Item = &'a AuthService>) {
        let there: BTreeSet<Key> = there.map(key_of).collect();
        let mut content = self.lock();
        let gone: Vec<Key> = content.by_service.keys().filter(|key| !there.contains(*key)).cloned().collect();
        for key in gone {
            content.set(&key, BTreeSet::new());
        }
    }

    /// Observes the version of a Secret, or its deletion. Returns the names of the AuthServices of its namespace that
    /// reference it, if it changed.
    pub fn observe(&self, namespace: &str, name: &str, version: Option<&str>) -> Vec<String> {
        self.lock().observe(&(namespace.to_owned(), name.to_owned()), version)
    }

    /// Observes a complete list of Secrets, by namespace and name, with their versions. Returns namespace and name of
    /// the AuthServices that are affected.
    pub fn observe_all(&self, there: &HashMap<Key, String>) -> Vec<Key> {
        let mut content = self.lock();
        let secrets: Vec<Key> = content.secrets.keys().cloned().collect();
        let mut concerned = Vec::new();
        for key in secrets {
            let services = content.observe(&key, there.get(&key).map(String::as_str));
            concerned.extend(services.into_iter().map(|service| (key.0.clone(), service)));
        }
        concerned
    }

    /// Whether an AuthService references it.
    pub fn is_named(&self, namespace: &str, name: &str) -> bool {
        self.lock().secrets.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    /// The data of a Secret, if no change was observed since they were read.
    pub fn known(&self, namespace: &str, name: &str) -> SecretState {
        match self.lock().secrets.get(&(namespace.to_owned(), name.to_owned())) {
            Some(Named { read: Some(read), .. }) => SecretState::Read(read.secret().cloned()),
            Some(named) => SecretState::Unread(Some(named.changes)),
            None => SecretState::Unread(None),
        }
    }

    /// Stores the data, unless a change was observed since [`NamedSecrets::known`] returned `asked`.
    pub fn keep(&self, namespace: &str, name: &str, asked: Option<u64>, secret: Option<Arc<CachedObject>>) {
        if let Some(named) = self.lock().secrets.get_mut(&(namespace.to_owned(), name.to_owned()))
            && Some(named.changes) == asked
        {
            named.read = Some(secret.map_or(Read::Missing, Read::Found));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn set(&mut self, service: &Key, secrets: BTreeSet<String>) {
        let before = self.by_service.remove(service).unwrap_or_default();
        for secret in before.iter().filter(|name| !secrets.contains(&***name)) {
            let key = (service.0.clone(), secret.to_string());
            if let Some(named) = self.secrets.get_mut(&key) {
                named.by.retain(|name| **name != *service.1);
                if named.by.is_empty() {
                    self.secrets.remove(&key);
                }
            }
        }
        for secret in secrets.iter().filter(|name| !before.iter().any(|known| **known == ***name)) {
            let named = self.secrets.entry((service.0.clone(), secret.clone())).or_default();
            named.by.reserve_exact(1);
            named.by.push(service.1.as_str().into());
        }
        if !secrets.is_empty() {
            self.by_service
                .insert(service.clone(), secrets.into_iter().map(String::into_boxed_str).collect());
        }
    }

    fn observe(&mut self, key: &Key, version: Option<&str>) -> Vec<String> {
        let Some(named) = self.secrets.get_mut(key) else { return Vec::new() };
        let known = named
            .read
            .as_ref()
            .is_some_and(|read| read.secret().and_then(|secret| secret.version()) == version);
        if known {
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
    fn named_secrets() -> NamedSecrets {
        NamedSecrets::new(|auth_service| {
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

    fn put(secrets: &NamedSecrets, name: &str, version: &str) {
        let secret = json!({"metadata": {"name": name, "namespace": "a", "resourceVersion": version}});
        let kept = CachedObject::new(Kind::Secret, serde_json::from_value(secret).unwrap());
        let key = ("a".to_owned(), name.to_owned());
        secrets.lock().secrets.get_mut(&key).unwrap().read = Some(Read::Found(Arc::new(kept)));
    }

    fn is_read(secrets: &NamedSecrets, name: &str) -> bool {
        secrets
            .lock()
            .secrets
            .get(&("a".to_owned(), name.to_owned()))
            .is_some_and(|named| named.read.is_some())
    }

    #[test]
    fn what_nobody_names_is_forgotten_and_concerns_nobody() {
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
        assert!(secrets.lock().secrets.is_empty() && secrets.lock().by_service.is_empty());
    }

    #[test]
    fn what_was_read_is_good_until_something_else_is_heard() {
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

//! The cached objects of one kind, indexed by name, by AuthService and by database. Objects that belong to no existing
//! AuthService are not stored.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::AnyObject;
use crate::cluster::owners::Owners;
use crate::cluster::unstored::Unstored;

/// Namespace and name, or namespace and AuthService.
type Key = (Box<str>, Box<str>);

/// Receives the events of a watch. There is one for each [`ObjectStore`].
pub(crate) struct Writer {
    store: ObjectStore,
    /// A list in progress.
    listed: Option<Listed>,
    complete: watch::Sender<bool>,
}

#[derive(Default)]
struct Listed {
    objects: HashMap<Key, Arc<CachedObject>>,
    unstored: Unstored,
}

/// The last observed objects of one kind that belong to an AuthService.
#[derive(Clone)]
pub(crate) struct ObjectStore {
    kind: Kind,
    owners: Owners,
    content: Arc<RwLock<Content>>,
    complete: watch::Receiver<bool>,
}

/// The watch of a store ended before its initial list was complete.
#[derive(Debug, thiserror::Error)]
#[error("a watch ended before its initial list was complete")]
pub(crate) struct WatchEnded;

/// An object that has changed.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) namespace: Box<str>,
    /// The new object, or the last version of a removed one.
    pub(crate) object: Arc<CachedObject>,
}

#[derive(Default)]
struct Content {
    objects: HashMap<Key, Arc<CachedObject>>,
    /// The names of the pods or Jobs of each AuthService. Most groups are small, so that no spare capacity is reserved.
    groups: HashMap<Key, Vec<Box<str>>>,
    /// The objects with a database annotation, in all namespaces.
    databases: HashMap<Box<str>, Vec<Key>>,
    /// The number of unreadable objects.
    unreadable: usize,
    unstored: Unstored,
}

fn enter<K: Hash + Eq, T: PartialEq>(index: &mut HashMap<K, Vec<T>>, key: K, entry: T) {
    let entries = index.entry(key).or_default();
    if !entries.contains(&entry) {
        entries.reserve_exact(1);
        entries.push(entry);
    }
}

fn leave<K: Hash + Eq, T: PartialEq>(index: &mut HashMap<K, Vec<T>>, key: &K, entry: &T) {
    if let Some(entries) = index.get_mut(key) {
        entries.retain(|other| other != entry);
        if entries.is_empty() {
            index.remove(key);
        }
    }
}

impl Content {
    fn insert(&mut self, kind: Kind, key: Key, object: Arc<CachedObject>) -> Option<Arc<CachedObject>> {
        let before = self.remove(kind, &key);
        if let Some(group) = Owners::group_of(kind, &object) {
            enter(&mut self.groups, (key.0.clone(), group.into()), key.1.clone());
        }
        if let Some(database) = object.database() {
            enter(&mut self.databases, database.into(), key.clone());
        }
        self.unreadable += usize::from(object.problem().is_some());
        self.objects.insert(key, object);
        before
    }

    fn remove(&mut self, kind: Kind, key: &Key) -> Option<Arc<CachedObject>> {
        let object = self.objects.remove(key)?;
        self.unreadable -= usize::from(object.problem().is_some());
        if let Some(group) = Owners::group_of(kind, &object) {
            leave(&mut self.groups, &(key.0.clone(), group.into()), &key.1);
        }
        if let Some(database) = object.database() {
            leave(&mut self.databases, &database.into(), key);
        }
        Some(object)
    }
}

impl Writer {
    pub(crate) fn new(kind: Kind, owners: Owners) -> Self {
        let complete = watch::Sender::new(false);
        let store = ObjectStore { kind, owners, content: Arc::default(), complete: complete.subscribe() };
        Self { store, listed: None, complete }
    }

    pub(crate) fn store(&self) -> ObjectStore {
        self.store.clone()
    }

    /// The number of unreadable objects.
    pub(crate) fn unreadable(&self) -> usize {
        self.store.read().unreadable
    }

    /// Processes an event. Returns the changes; the initial list is no change.
    pub(crate) fn process(&mut self, event: Event<AnyObject>) -> Vec<Change> {
        match event {
            Event::Init => self.listed = Some(Listed::default()),
            Event::InitApply(AnyObject(object)) => {
                if let Some(listed) = &mut self.listed {
                    self.store.list(listed, object);
                }
            }
            Event::InitDone => {
                let changes = self.store.replace(self.listed.take().unwrap_or_default());
                if self.complete.send_replace(true) {
                    return changes;
                }
            }
            Event::Apply(AnyObject(object)) => return self.store.apply(object).into_iter().collect(),
            Event::Delete(AnyObject(object)) => return self.store.delete(&object).into_iter().collect(),
        }
        Vec::new()
    }
}

impl ObjectStore {
    fn list(&self, listed: &mut Listed, object: DynamicObject) {
        let key = key_of(&object);
        if self.owners.has_owner(self.kind, &object) {
            let object = self.cached(&key, object);
            listed.objects.insert(key, object);
        } else if let Some(group) = Owners::unstored_group(self.kind, &object) {
            listed.unstored.insert(&key.0, group, &key.1);
        }
    }

    /// Replaces the content with a complete list. Returns the changes.
    fn replace(&self, listed: Listed) -> Vec<Change> {
        let mut content = self.write();
        let Listed { objects: listed, unstored } = listed;
        content.unstored = unstored;
        let gone: Vec<Key> =
            content.objects.keys().filter(|key| !listed.contains_key(*key)).cloned().collect();
        let mut changes: Vec<Change> = gone
            .into_iter()
            .filter_map(|key| Some(Change { object: content.remove(self.kind, &key)?, namespace: key.0 }))
            .collect();
        for (key, object) in listed {
            let namespace = key.0.clone();
            let before = content.insert(self.kind, key, object.clone());
            if !before.is_some_and(|before| before.is_like(&object)) {
                changes.push(Change { namespace, object });
            }
        }
        changes
    }

    fn apply(&self, object: DynamicObject) -> Option<Change> {
        let key = key_of(&object);
        if self.owners.has_owner(self.kind, &object) {
            let object = self.cached(&key, object);
            let mut content = self.write();
            let group = Owners::group_of(self.kind, &object).unwrap_or(&key.1);
            content.unstored.remove(&key.0, group, &key.1);
            let namespace = key.0.clone();
            let before = content.insert(self.kind, key, object.clone());
            let same = before.is_some_and(|before| before.is_like(&object));
            return (!same).then_some(Change { namespace, object });
        }
        let mut content = self.write();
        // Checked again, because a reconcile of an AuthService that was created meanwhile may have looked for the
        // record already.
        if self.owners.has_owner(self.kind, &object) {
            drop(content);
            return self.apply(object);
        }
        if let Some(group) = Owners::unstored_group(self.kind, &object) {
            content.unstored.insert(&key.0, group, &key.1);
        }
        // It belonged to an AuthService before.
        let object = content.remove(self.kind, &key)?;
        Some(Change { namespace: key.0, object })
    }

    fn delete(&self, object: &DynamicObject) -> Option<Change> {
        let key = key_of(object);
        let mut content = self.write();
        if let Some(group) = Owners::unstored_group(self.kind, object) {
            content.unstored.remove(&key.0, group, &key.1);
        }
        let object = content.remove(self.kind, &key)?;
        Some(Change { namespace: key.0, object })
    }

    /// The cached form of an object. If its version is unchanged, the existing one is reused, so that a new list does
    /// not need twice the memory.
    fn cached(&self, key: &Key, object: DynamicObject) -> Arc<CachedObject> {
        let before = self.read().objects.get(key).cloned();
        before
            .filter(|before| {
                before.version().is_some() && before.version() == object.metadata.resource_version.as_deref()
            })
            .unwrap_or_else(|| Arc::new(CachedObject::new(self.kind, object)))
    }

    /// The unstored objects that belong to this AuthService, which has just been created: the AuthService itself if it
    /// has pods or Jobs, and the names of other objects. They are to be read and passed to
    /// [`ObjectStore::insert_read`].
    pub(crate) fn unstored(&self, namespace: &str, auth_service: &str) -> Vec<String> {
        let content = self.read();
        if content.unstored.is_empty() {
            return Vec::new();
        }
        let mut groups = self.owners.groups(self.kind, auth_service);
        groups.retain(|group| content.unstored.contains_group(namespace, group));
        groups
    }

    /// Stores objects that were read, by name, unless the watch has shown a change of them meanwhile.
    pub(crate) fn insert_read(&self, namespace: &str, group: &str, objects: Vec<(String, CachedObject)>) {
        let mut content = self.write();
        if !self.owners.owns_group(self.kind, namespace, group) {
            return;
        }
        for (name, object) in objects {
            if content.unstored.remove(namespace, group, &name) {
                let key = (namespace.into(), name.into_boxed_str());
                content.insert(self.kind, key, Arc::new(object));
            }
        }
        content.unstored.remove_group(namespace, group);
    }

    /// Removes the objects of an AuthService that was deleted.
    pub(crate) fn release(&self, namespace: &str, auth_service: &str) {
        let mut content = self.write();
        for group in self.owners.groups(self.kind, auth_service) {
            // Another AuthService may have an object of this name.
            if self.owners.owns_group(self.kind, namespace, &group) {
                continue;
            }
            let names = if Owners::are_grouped(self.kind) {
                content.groups.get(&(namespace.into(), group.as_str().into())).cloned().unwrap_or_default()
            } else {
                vec![group.as_str().into()]
            };
            for name in names {
                let key = (namespace.into(), name);
                if content.remove(self.kind, &key).is_some() {
                    content.unstored.insert(namespace, &group, &key.1);
                }
            }
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Waits for the initial list.
    ///
    /// # Errors
    /// When the watch ended before.
    pub(crate) async fn wait_until_ready(&self) -> Result<(), WatchEnded> {
        self.complete.clone().wait_for(|complete| *complete).await.map(drop).map_err(|_| WatchEnded)
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<CachedObject>> {
        self.read().objects.get(&(namespace.into(), name.into())).cloned()
    }

    /// The pods or Jobs of an AuthService: the pods with its name in their label, or the Jobs with a controller of
    /// its name.
    pub(crate) fn group(&self, namespace: &str, auth_service: &str) -> Vec<Arc<CachedObject>> {
        let content = self.read();
        let names = content.groups.get(&(namespace.into(), auth_service.into()));
        names
            .into_iter()
            .flatten()
            .filter_map(|name| content.objects.get(&(namespace.into(), name.clone())).cloned())
            .collect()
    }

    /// The objects that use this database, each with its namespace.
    pub(crate) fn users_of_database(&self, database: &str) -> Vec<(Box<str>, Arc<CachedObject>)> {
        let content = self.read();
        let users = content.databases.get(database).into_iter().flatten();
        users.filter_map(|key| Some((key.0.clone(), content.objects.get(key)?.clone()))).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(object: &DynamicObject) -> Key {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    (text(&object.metadata.namespace), text(&object.metadata.name))
}

#[cfg(test)]
#[path = "object_store_tests.rs"]
mod tests;

//! The cached objects of one kind, indexed by name, by controller and by purpose.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::AnyObject;

/// Namespace and name, or namespace and group.
type Key = (Box<str>, Box<str>);

/// Receives the events of a watch. There is one for each [`ObjectStore`].
pub struct Writer {
    kind: Kind,
    content: Arc<RwLock<Content>>,
    /// The objects of a list in progress.
    listed: Option<HashMap<Key, Arc<CachedObject>>>,
    complete: watch::Sender<bool>,
}

/// What a watch last saw.
#[derive(Clone)]
pub struct ObjectStore {
    content: Arc<RwLock<Content>>,
    complete: watch::Receiver<bool>,
}

/// The watch of a store ended before its initial list was complete.
#[derive(Debug, thiserror::Error)]
#[error("a watch ended before it had listed once")]
pub struct WatchEnded;

/// An object that has changed.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its namespace.
    pub namespace: Box<str>,
    /// The new object, or the last version of a deleted one.
    pub object: Arc<CachedObject>,
}

#[derive(Default)]
struct Content {
    objects: HashMap<Key, Arc<CachedObject>>,
    /// Names. Most groups have one element, so that no spare capacity is reserved.
    groups: HashMap<Key, Vec<Box<str>>>,
    /// The objects with a database annotation, in all namespaces.
    databases: HashMap<Box<str>, Vec<Key>>,
    /// The number of unreadable objects.
    unreadable: usize,
}

/// The group of the pods of an AuthService with one purpose.
pub fn purpose(instance: &str, component: &str) -> String {
    format!("{instance}/{component}")
}

/// The secondary index key of an object. Only these kinds are looked up by it.
fn group(kind: Kind, object: &CachedObject) -> Option<Box<str>> {
    match kind {
        Kind::Job => Some(object.controller()?.uid.clone()),
        Kind::Pod => Some(purpose(object.instance()?, object.component()?).into_boxed_str()),
        _ => None,
    }
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
        if let Some(group) = group(kind, &object) {
            enter(&mut self.groups, (key.0.clone(), group), key.1.clone());
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
        if let Some(group) = group(kind, &object) {
            leave(&mut self.groups, &(key.0.clone(), group), &key.1);
        }
        if let Some(database) = object.database() {
            leave(&mut self.databases, &database.into(), key);
        }
        Some(object)
    }
}

impl Writer {
    /// An empty store for this kind.
    pub fn new(kind: Kind) -> Self {
        Self { kind, content: Arc::default(), listed: None, complete: watch::Sender::new(false) }
    }

    /// The store.
    pub fn store(&self) -> ObjectStore {
        ObjectStore { content: self.content.clone(), complete: self.complete.subscribe() }
    }

    /// The number of unreadable objects.
    pub fn unreadable(&self) -> usize {
        self.read_content().unreadable
    }

    /// Processes an event. Returns the changes; the initial list is no change.
    pub fn take_in(&mut self, event: Event<AnyObject>) -> Vec<Change> {
        match event {
            Event::Init => {
                self.listed = Some(HashMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                let (key, object) = self.keep(object);
                if let Some(listed) = &mut self.listed {
                    listed.insert(key, object);
                }
                Vec::new()
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let changes = self.replace(listed);
                if self.complete.send_replace(true) { changes } else { Vec::new() }
            }
            Event::Apply(object) => {
                let (key, object) = self.keep(object);
                let namespace = key.0.clone();
                let before = self.write().insert(self.kind, key, object.clone());
                let same = before.is_some_and(|before| before.is_like(&object));
                if same { Vec::new() } else { vec![Change { namespace, object }] }
            }
            Event::Delete(object) => {
                let (key, object) = self.keep(object);
                self.write().remove(self.kind, &key);
                vec![Change { namespace: key.0, object }]
            }
        }
    }

    /// Replaces the content with a complete list. Returns the changes.
    fn replace(&self, listed: HashMap<Key, Arc<CachedObject>>) -> Vec<Change> {
        let mut content = self.write();
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

    /// The cached form of an object. If its version is unchanged, the existing one is reused, so that a new list does
    /// not need twice the memory.
    fn keep(&self, object: AnyObject) -> (Key, Arc<CachedObject>) {
        let AnyObject(object) = object;
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        let key: Key = (text(&object.metadata.namespace), text(&object.metadata.name));
        let before = self.read_content().objects.get(&key).cloned();
        let kept = before
            .filter(|before| {
                before.version().is_some() && before.version() == object.metadata.resource_version.as_deref()
            })
            .unwrap_or_else(|| Arc::new(CachedObject::new(self.kind, object)));
        (key, kept)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_content(&self) -> std::sync::RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ObjectStore {
    /// Waits for the initial list.
    ///
    /// # Errors
    /// When it ended before.
    pub async fn wait_until_ready(&self) -> Result<(), WatchEnded> {
        self.complete.clone().wait_for(|complete| *complete).await.map(drop).map_err(|_| WatchEnded)
    }

    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<CachedObject>> {
        self.read().objects.get(&(namespace.into(), name.into())).cloned()
    }

    /// The objects of a group in a namespace: Jobs by the uid of their controller, pods by their [`purpose`].
    pub fn group(&self, namespace: &str, group: &str) -> Vec<Arc<CachedObject>> {
        let content = self.read();
        let names = content.groups.get(&(namespace.into(), group.into()));
        names
            .into_iter()
            .flatten()
            .filter_map(|name| content.objects.get(&(namespace.into(), name.clone())).cloned())
            .collect()
    }

    /// The objects that use this database, each with its namespace.
    pub fn users_of_database(&self, database: &str) -> Vec<(Box<str>, Arc<CachedObject>)> {
        let content = self.read();
        let users = content.databases.get(database).into_iter().flatten();
        users.filter_map(|key| Some((key.0.clone(), content.objects.get(key)?.clone()))).collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DynamicObject;
    use serde_json::json;

    use super::*;

    fn object(name: &str, version: &str, owner: &str, data: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {
                "namespace": "a", "name": name, "uid": name, "resourceVersion": version,
                "labels": {"app.kubernetes.io/instance": owner, "app.kubernetes.io/component": "server"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "AuthService", "name": owner, "uid": format!("uid-{owner}"), "controller": true}
                ],
            },
            "data": {"key": data},
        }))
        .unwrap()
    }

    fn names(changes: &[Change]) -> Vec<String> {
        let mut names: Vec<_> = changes.iter().filter_map(|change| change.object.uid()).collect();
        names.sort();
        names
    }

    fn listed(writer: &mut Writer, objects: &[DynamicObject]) -> Vec<Change> {
        assert!(writer.take_in(Event::Init).is_empty());
        for object in objects {
            assert!(writer.take_in(Event::InitApply(AnyObject(object.clone()))).is_empty());
        }
        writer.take_in(Event::InitDone)
    }

    #[test]
    fn what_is_kept_is_the_object_and_found_by_name_and_group() {
        for (kind, of_x, of_y) in [
            (Kind::Job, "uid-x".to_owned(), "uid-y".to_owned()),
            (Kind::Pod, purpose("x", "server"), purpose("y", "server")),
        ] {
            let mut writer = Writer::new(kind);
            let store = writer.store();
            let whole = object("one", "1", "x", "1");
            assert!(listed(&mut writer, &[whole.clone(), object("two", "2", "y", "1")]).is_empty());
            assert_eq!(store.get("a", "one").unwrap().object(), whole);
            assert!(store.get("b", "one").is_none());
            assert_eq!((store.group("a", &of_x).len(), store.group("b", &of_x).len()), (1, 0), "{kind}");
            // An object whose controller changes leaves its group.
            writer.take_in(Event::Apply(AnyObject(object("one", "3", "y", "1"))));
            assert!(store.group("a", &of_x).is_empty());
            assert_eq!(store.group("a", &of_y).len(), 2);
        }
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let mut writer = Writer::new(Kind::ConfigMap);
        listed(&mut writer, &[object("one", "1", "x", "1"), object("two", "2", "x", "1")]);
        assert!(writer.take_in(Event::Apply(AnyObject(object("one", "3", "x", "1")))).is_empty());
        assert_eq!(writer.store().get("a", "one").unwrap().version(), Some("3"));
        assert_eq!(names(&writer.take_in(Event::Apply(AnyObject(object("one", "4", "x", "2"))))), ["one"]);
        // A new list reports what changed, appeared and disappeared in between.
        let changes = listed(&mut writer, &[object("one", "5", "x", "3"), object("three", "6", "x", "1")]);
        assert_eq!(names(&changes), ["one", "three", "two"]);
        let again = listed(&mut writer, &[object("one", "5", "x", "3"), object("three", "6", "x", "1")]);
        assert!(again.is_empty());
        assert_eq!(names(&writer.take_in(Event::Delete(AnyObject(object("one", "7", "x", "3"))))), ["one"]);
        assert!(writer.store().get("a", "one").is_none());
    }

    #[test]
    fn a_status_that_nobody_reads_is_no_change() {
        let mut writer = Writer::new(Kind::PodDisruptionBudget);
        let with = |version: &str, healthy: i32| {
            let mut budget = object("one", version, "x", "1");
            budget.data["status"] = json!({"currentHealthy": healthy});
            budget
        };
        listed(&mut writer, &[with("1", 0)]);
        assert!(writer.take_in(Event::Apply(AnyObject(with("2", 1)))).is_empty());
    }

    #[test]
    fn the_load_that_an_autoscaler_sees_is_no_change_and_what_it_says_is() {
        let mut writer = Writer::new(Kind::HorizontalPodAutoscaler);
        let with = |version: &str, load: i32, active: &str| {
            let mut autoscaler = object("one", version, "x", "1");
            autoscaler.data["status"] = json!({
                "currentMetrics": [{"resource": {"current": {"averageUtilization": load}}}],
                "desiredReplicas": load,
                "conditions": [{"type": "ScalingActive", "status": active}],
            });
            autoscaler
        };
        listed(&mut writer, &[with("1", 1, "True")]);
        assert!(writer.take_in(Event::Apply(AnyObject(with("2", 2, "True")))).is_empty());
        assert_eq!(names(&writer.take_in(Event::Apply(AnyObject(with("3", 2, "False"))))), ["one"]);
    }
}

//! Everything that happened in the namespace of one plan, in the order of the API server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A version of an object.
    Object(Version),
    /// A replica of the server has loaded exactly these keys.
    Loaded { replica: usize, kids: Vec<String> },
    /// A replica of the server has loaded the registry of OAuth clients with this serial.
    LoadedClients { replica: usize, serial: u64 },
    /// The plan asks for something that is forbidden otherwise.
    Permits(Permit),
}

/// What a plan permits from a moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// One replacement of all keys without a rotation.
    Revocation,
    /// One new client secret in the Secret of this name.
    ClientRotation { name: String },
    /// The object of this kind and name may be replaced, because the plan deletes it.
    Replacement { kind: String, name: String },
    /// The plan itself writes this object, which is foreign to the operator.
    ForeignWrite { kind: String, name: String },
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    pub kind: String,
    pub name: String,
    /// The resource version, which orders the versions of all objects: there is one etcd.
    pub number: u64,
    pub deleted: bool,
    pub object: Arc<Value>,
}

impl Version {
    pub fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    /// The uid of the AuthService that owns it.
    pub fn owner(&self) -> &str {
        self.owner_of_kind("AuthService")
    }

    /// The uid of the owner of this kind.
    pub fn owner_of_kind(&self, kind: &str) -> &str {
        let owners = self.object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let owner = owners.into_iter().flatten().find(|owner| owner["kind"] == kind);
        owner.and_then(|owner| owner["uid"].as_str()).unwrap_or_default()
    }
}

/// The live objects, by kind and name.
pub type Objects = BTreeMap<(String, String), Arc<Value>>;

/// The history of a namespace. Clones share it.
#[derive(Debug, Clone)]
pub struct History(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    content: Mutex<Content>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Content {
    entries: Vec<Entry>,
    objects: Objects,
    newest: u64,
}

impl Default for History {
    fn default() -> Self {
        Self(Arc::new(Shared { content: Mutex::default(), changed: watch::Sender::new(0) }))
    }
}

impl History {
    pub fn add(&self, entry: Entry) {
        let newest = {
            let mut content = self.0.content.lock().unwrap_or_else(PoisonError::into_inner);
            if let Entry::Object(version) = &entry {
                let key = (version.kind.clone(), version.name.clone());
                if version.deleted {
                    content.objects.remove(&key);
                } else {
                    content.objects.insert(key, version.object.clone());
                }
                content.newest = content.newest.max(version.number);
            }
            content.entries.push(entry);
            content.newest
        };
        self.0.changed.send_replace(newest);
    }

    /// Reads the live objects.
    pub fn with_objects<T>(&self, read: impl FnOnce(&Objects) -> T) -> T {
        read(&self.0.content.lock().unwrap_or_else(PoisonError::into_inner).objects)
    }

    /// A live object.
    pub fn object(&self, kind: &str, name: &str) -> Option<Arc<Value>> {
        self.with_objects(|objects| objects.get(&(kind.to_owned(), name.to_owned())).cloned())
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.0.content.lock().unwrap_or_else(PoisonError::into_inner).entries.clone()
    }

    /// Announces every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }
}

//! Records every version of every object of the plans, directly from the API server.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_kind};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;

use crate::history::{Entry, History, Version};

/// The kinds that an AuthService can own here, the AuthService itself, and its AuthClients.
pub const KINDS: [(&str, &str, &str); 17] = [
    ("latchkey.dev", "v1alpha1", "AuthClient"),
    ("latchkey.dev", "v1alpha1", "AuthService"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "Secret"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("batch", "v1", "Job"),
    ("cert-manager.io", "v1", "Certificate"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget"),
];

/// The resource of a kind.
pub fn resource(kind: &str) -> ApiResource {
    let known = KINDS.iter().find(|known| known.2 == kind);
    let (group, version, kind) = known.unwrap_or_else(|| panic!("{kind} is not observed"));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The histories of all plans that run. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Histories(Arc<Mutex<HashMap<String, History>>>);

impl Histories {
    /// Begins the history of a namespace.
    pub fn begin(&self, namespace: &str) -> History {
        let history = History::default();
        self.lock().insert(namespace.to_owned(), history.clone());
        history
    }

    /// Ends it: later changes are not recorded.
    pub fn end(&self, namespace: &str) {
        self.lock().remove(namespace);
    }

    /// Records the deletions that a new list shows.
    fn retain(&self, kind: &str, listed: &HashSet<(String, String)>) {
        for (namespace, history) in self.lock().iter() {
            let gone = history.with_objects(|objects| {
                let of_kind = objects.iter().filter(|((of, _), _)| of == kind);
                let gone =
                    of_kind.filter(|((_, name), _)| !listed.contains(&(namespace.clone(), name.clone())));
                gone.map(|((_, name), object)| (name.clone(), object.clone())).collect::<Vec<_>>()
            });
            for (name, object) in gone {
                let number =
                    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
                let (kind, number) = (kind.to_owned(), number.unwrap_or_default());
                history.add(Entry::Object(Version { kind, name, number, deleted: true, object }));
            }
        }
    }

    fn of(&self, namespace: &str) -> Option<History> {
        self.lock().get(namespace).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, History>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records until it is dropped.
pub fn observe(client: &Client, histories: &Histories) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for (_, _, kind) in KINDS {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(kind));
        let histories = histories.clone();
        tasks.spawn(async move {
            let mut events = std::pin::pin!(watch_kind(api, watcher::Config::default()).default_backoff());
            let mut listed = HashSet::new();
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Init) => listed.clear(),
                    Ok(Event::InitApply(object)) => {
                        listed.insert((object.namespace().unwrap_or_default(), object.name_any()));
                        record(&histories, kind, object, false);
                    }
                    Ok(Event::InitDone) => histories.retain(kind, &listed),
                    Ok(Event::Apply(object)) => record(&histories, kind, object, false),
                    Ok(Event::Delete(object)) => record(&histories, kind, object, true),
                    Err(_) => {}
                }
            }
        });
    }
    tasks
}

fn record(histories: &Histories, kind: &str, object: DynamicObject, deleted: bool) {
    let Some(history) = histories.of(&object.namespace().unwrap_or_default()) else { return };
    let version = object.resource_version().unwrap_or_default();
    let number: u64 = version.parse().unwrap_or_default();
    let known = history.object(kind, &object.name_any());
    let is_known = known.is_some_and(|known| known["metadata"]["resourceVersion"] == version);
    // A new list repeats what is known.
    if is_known && !deleted {
        return;
    }
    let name = object.name_any();
    let mut object = serde_json::to_value(object).expect("JSON");
    // The elements of a list have no types of their own.
    object["kind"] = json!(kind);
    object["apiVersion"] = json!(resource(kind).api_version);
    let object = Arc::new(object);
    history.add(Entry::Object(Version { kind: kind.to_owned(), name, number, deleted, object }));
}

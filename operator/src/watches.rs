//! The watches: each fills a store and says which AuthService an event concerns.

use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use latchkey_crds::AuthService;
use tokio::task::{AbortHandle, JoinSet};

use crate::auth_service::references;
use crate::cache::{Cache, Presence, controller_of};
use crate::causes::Causes;
use crate::kinds::Kind;
use crate::metrics::Metrics;
use crate::names::{INSTANCE, MANAGED_BY, Names, OPERATOR};

/// Where the watches say what has to be reconciled.
pub type Triggers = UnboundedSender<ObjectRef<AuthService>>;

/// What the watches share.
#[derive(Clone)]
pub struct Watches {
    client: Client,
    /// Empty for all.
    namespace: String,
    cache: Cache,
    auth_services: Store<AuthService>,
    triggers: Triggers,
    metrics: Metrics,
}

/// Starts all watches as tasks; they end when the set is dropped.
pub fn start(
    client: Client,
    namespace: String,
    cache: Cache,
    metrics: Metrics,
    triggers: Triggers,
) -> (Store<AuthService>, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let (auth_services, writer) = reflector::store();
    let watches =
        Watches { client, namespace, cache, auth_services: auth_services.clone(), triggers, metrics };
    tasks.spawn(watches.clone().follow_auth_services(writer));
    for kind in Kind::BUILT_IN {
        let writer = reflector::store::Writer::new(kind.api_resource());
        watches.cache.insert(kind, writer.as_reader());
        tasks.spawn(watches.clone().follow(kind, writer));
    }
    for kind in Kind::OPTIONAL {
        tasks.spawn(watches.clone().follow_definition(kind));
    }
    (auth_services, tasks)
}

impl Watches {
    async fn follow_auth_services(self, writer: reflector::store::Writer<AuthService>) {
        let api: Api<AuthService> = if self.namespace.is_empty() {
            Api::all(self.client.clone())
        } else {
            Api::namespaced(self.client.clone(), &self.namespace)
        };
        let events = watch(api, watcher::Config::default()).default_backoff().modify(|object| {
            object.managed_fields_mut().clear();
        });
        let mut events = std::pin::pin!(reflector::reflector(writer, events));
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(object)) => self.trigger(&object),
                // What a list brings is in the store only once the list is complete, and what is not in the
                // store is not triggered.
                Ok(Event::InitDone) => self.trigger_all(),
                // Its objects are garbage-collected by their owner references.
                Ok(Event::Delete(_) | Event::Init | Event::InitApply(_)) => {}
                Err(error) => self.report("AuthService", &error),
            }
        }
    }

    async fn follow(self, kind: Kind, writer: reflector::store::Writer<DynamicObject>) {
        let resource = kind.api_resource();
        let api: Api<DynamicObject> = if self.namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        };
        let config = match kind {
            // Referenced Secrets are anybody's. Helm's releases are the largest Secrets of a cluster and hold
            // nothing that an AuthService could name.
            Kind::Secret => watcher::Config::default().fields("type!=helm.sh/release.v1"),
            _ => watcher::Config::default().labels(&format!("{MANAGED_BY}={OPERATOR}")),
        };
        let events = watch(api, config).default_backoff().modify(|object| {
            object.managed_fields_mut().clear();
        });
        let mut events = std::pin::pin!(reflector::reflector(writer, events));
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) => {
                    self.trigger_owner(kind, &object);
                }
                // An object that vanished while the watch was down has no event of its own.
                Ok(Event::InitDone) => self.trigger_all(),
                Ok(Event::Init) => {}
                Err(error) => self.report(kind.as_str(), &error),
            }
        }
    }

    /// Follows whether the cluster knows an optional kind, and watches its objects while it does. One watch a
    /// definition: the right to watch is granted by the definition's name.
    async fn follow_definition(self, kind: Kind) {
        let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(self.client.clone());
        let config = watcher::Config::default().fields(&format!("metadata.name={}", kind.definition()));
        let mut events = std::pin::pin!(watch(api, config).default_backoff());
        let mut tasks = JoinSet::new();
        let mut running: Option<AbortHandle> = None;
        let mut listed = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed = false,
                Ok(Event::Apply(_) | Event::InitApply(_)) => {
                    listed = true;
                    if running.is_none() {
                        running = Some(tasks.spawn(self.clone().follow_optional(kind)));
                    }
                }
                Ok(Event::InitDone) if listed => {}
                Ok(Event::Delete(_) | Event::InitDone) => {
                    if let Some(task) = running.take() {
                        task.abort();
                    }
                    self.cache.remove(kind);
                    self.cache.set_presence(kind, Presence::Absent);
                    self.trigger_all();
                }
                Err(error) => {
                    if running.is_none() {
                        self.cache.set_presence(kind, Presence::Unknown);
                    }
                    self.report("CustomResourceDefinition", &error);
                }
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    /// Watches the objects of an optional kind, which counts as there once they are listed.
    async fn follow_optional(self, kind: Kind) {
        let writer = reflector::store::Writer::new(kind.api_resource());
        let store = writer.as_reader();
        let listed = async {
            if store.wait_until_ready().await.is_ok() {
                self.cache.insert(kind, store.clone());
                self.cache.set_presence(kind, Presence::Present);
                self.trigger_all();
            }
        };
        futures::join!(self.clone().follow(kind, writer), listed);
    }

    fn trigger(&self, auth_service: &AuthService) {
        self.send(ObjectRef::from_obj(auth_service));
    }

    fn trigger_all(&self) {
        for auth_service in self.auth_services.state() {
            self.trigger(&auth_service);
        }
    }

    fn trigger_owner(&self, kind: Kind, object: &DynamicObject) {
        let Some(namespace) = object.metadata.namespace.as_deref() else { return };
        let owner = controller_of(object)
            .filter(|owner| owner.kind == AuthService::kind(&()))
            .map(|owner| owner.name.clone())
            .or_else(|| object.labels().get(INSTANCE).cloned());
        if let Some(name) = owner {
            self.send(ObjectRef::new(&name).within(namespace));
        }
        if kind == Kind::Secret {
            let name = object.name_any();
            let referring: Vec<Arc<AuthService>> = self.auth_services.state_filter(|auth_service| {
                auth_service.namespace().as_deref() == Some(namespace)
                    && (references(auth_service).any(|secret| secret == name)
                        // One that was restored by hand, or a stranger's that is in the way.
                        || Names::new(&auth_service.name_any()).secrets().contains(&name))
            });
            for auth_service in referring {
                self.trigger(&auth_service);
            }
        }
    }

    fn send(&self, object: ObjectRef<AuthService>) {
        // A label can name an AuthService that does not exist.
        if self.auth_services.get(&object).is_some() && self.triggers.unbounded_send(object).is_err() {
            tracing::debug!("the controller has stopped");
        }
    }

    fn report(&self, kind: &'static str, error: &watcher::Error) {
        self.metrics.watch_failed(kind);
        tracing::warn!(kind, error = %Causes(error), "a watch failed and is tried again");
    }
}

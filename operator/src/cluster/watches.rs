//! The watches: each fills a store and triggers reconciles of the affected AuthServices.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::{NamespaceResourceScope, NamespaceScope};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_crds::conditions::DATABASE_SHARED;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::cluster::cache::{Cache, Presence};
use crate::cluster::change_filter::ChangeFilter;
use crate::cluster::instrumentation::Instrumentation;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::{AnyObject, Identity};
use crate::cluster::list_watch::{list_watch, watch_all};
use crate::cluster::object_store::{Change, Writer};
use crate::cluster::observed::Observed;
use crate::cluster::owners::Owners;
use crate::cluster::references::NamedObjects;
use crate::cluster::watch_errors::{Problems, WatchErrors};
use crate::error_chain::ErrorChain;
use crate::names::{MANAGED_BY, OPERATOR};

/// The channel of AuthServices to reconcile.
pub(crate) type Triggers = UnboundedSender<ObjectRef<Observed>>;

/// The interval at which kinds without a definition are discovered.
const DISCOVER_EVERY: Duration = Duration::from_secs(20);

/// What the watches share.
#[derive(Clone)]
pub(crate) struct Watches {
    client: Client,
    /// Empty for all.
    namespaces: Arc<[String]>,
    cache: Cache,
    auth_services: Store<Observed>,
    /// Whether the initial list of AuthServices is complete. The store's own notification wakes only one waiter.
    listed: watch::Sender<bool>,
    triggers: Triggers,
    metrics: Arc<dyn Instrumentation>,
    watch_errors: Arc<WatchErrors>,
}

/// Starts all watches as tasks; they end when the set is dropped.
pub(crate) fn start(
    client: Client,
    namespaces: Vec<String>,
    cache: Cache,
    metrics: Arc<dyn Instrumentation>,
    triggers: Triggers,
) -> (Store<Observed>, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let (auth_services, writer) = reflector::store();
    let watches = Watches {
        client,
        namespaces: namespaces.into(),
        cache,
        auth_services: auth_services.clone(),
        listed: watch::Sender::new(false),
        triggers,
        metrics,
        watch_errors: Arc::default(),
    };
    tasks.spawn(watches.clone().follow_auth_services(writer));
    for kind in Kind::BUILT_IN {
        let writer = watches.new_writer(kind);
        watches.cache.insert(kind, writer.store());
        tasks.spawn(watches.clone().follow(kind, writer));
    }
    tasks.spawn(watches.clone().follow_named_secrets());
    tasks.spawn(watches.clone().follow_named_config_maps());
    for kind in Kind::OPTIONAL {
        // OpenShift serves its kinds by an aggregated API server, without a definition.
        if kind == Kind::Route {
            tasks.spawn(watches.clone().follow_served(kind));
        } else {
            tasks.spawn(watches.clone().follow_definition(kind));
        }
    }
    (auth_services, tasks)
}

impl Watches {
    fn new_writer(&self, kind: Kind) -> Writer {
        Writer::new(kind, Owners::new(self.auth_services.clone(), self.cache.own_names()))
    }

    async fn follow_auth_services(self, writer: reflector::store::Writer<Observed>) {
        let events = watch_all(self.apis(&()), watcher::Config::default());
        let mut events = std::pin::pin!(reflector::reflector(writer, events));
        let mut filter = ChangeFilter::new(self.cache.written_statuses.clone());
        let mut problems = Problems::default();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(object)) => {
                    // A status that becomes readable also triggers a reconcile, although nothing else changes.
                    let differs = problems.note(&object);
                    if filter.is_change(object.salvaged()) || differs {
                        self.cache.follow(object.salvaged());
                        self.trigger(&object);
                    }
                }
                // Listed objects are only in the store when the list is complete, and only objects in the store are
                // triggered.
                Ok(Event::InitDone) => {
                    problems.end_list();
                    self.cache.retain(&self.auth_services.state());
                    self.listed.send_replace(true);
                    self.trigger_all();
                }
                Ok(Event::InitApply(object)) => {
                    filter.is_change(object.salvaged());
                    problems.list(&object);
                    self.cache.follow(object.salvaged());
                }
                // Its objects are garbage-collected by their owner references.
                Ok(Event::Delete(object)) => {
                    filter.forget(object.salvaged());
                    problems.forget(&object);
                    self.cache.forget(object.salvaged());
                    self.trigger_refused_databases();
                }
                Ok(Event::Init) => {
                    filter.clear();
                    problems.begin_list();
                }
                Err(error) => self.report("AuthService", &error),
            }
            self.metrics.set_unreadable("AuthService", problems.count());
        }
    }

    async fn follow(self, kind: Kind, mut writer: Writer) {
        let apis: Vec<Api<AnyObject>> = self.apis(&kind.api_resource());
        let config = watcher::Config::default().labels(&format!("{MANAGED_BY}={OPERATOR}"));
        // Only objects of existing AuthServices are stored.
        if self.listed.subscribe().wait_for(|listed| *listed).await.is_err() {
            return;
        }
        let mut events = std::pin::pin!(watch_all(apis, config));
        while let Some(event) = events.next().await {
            match event {
                // The initial list is no change: the list of AuthServices triggers all of them.
                Ok(event) => {
                    let gone = matches!(event, Event::Delete(_));
                    for change in writer.process(event) {
                        self.trigger_owner(&change);
                        if gone && change.object.database().is_some() {
                            self.trigger_refused_databases();
                        }
                    }
                    self.metrics.set_unreadable(kind.as_str(), writer.unreadable());
                }
                Err(error) => self.report(kind.as_str(), &error),
            }
        }
    }

    /// Watches the metadata of all Secrets, of any owner.
    async fn follow_named_secrets(self) {
        let named = self.cache.named_secrets.clone();
        // Helm releases are the majority of Secrets in a cluster and cannot be referenced by an AuthService.
        let config = watcher::Config::default().fields("type!=helm.sh/release.v1");
        self.follow_named::<Secret>(Kind::Secret, named, config).await;
    }

    /// Watches the metadata of all ConfigMaps, of any owner.
    async fn follow_named_config_maps(self) {
        let named = self.cache.named_config_maps.clone();
        self.follow_named::<ConfigMap>(Kind::ConfigMap, named, watcher::Config::default()).await;
    }

    async fn follow_named<K>(self, kind: Kind, named: NamedObjects, config: watcher::Config)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Debug + 'static,
    {
        let mut events = std::pin::pin!(watch_all(self.apis::<Identity<K>>(&()), config));
        let mut listed = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(object)) => {
                    self.trigger_naming(&named, &object, object.resource_version().as_deref());
                }
                Ok(Event::Delete(object)) => self.trigger_naming(&named, &object, None),
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    let key = (object.namespace().unwrap_or_default(), object.name_any());
                    // There may be many objects; one that is referenced later is read then.
                    if named.is_named(&key.0, &key.1) {
                        listed.insert(key, object.resource_version().unwrap_or_default());
                    }
                }
                Ok(Event::InitDone) => {
                    for (namespace, name) in named.observe_all(&std::mem::take(&mut listed)) {
                        self.send(ObjectRef::new(&name).within(&namespace));
                    }
                }
                Err(error) => self.report(kind.as_str(), &error),
            }
        }
    }

    /// Triggers the AuthServices that reference an object or own it.
    fn trigger_naming<K: Resource<DynamicType = ()>>(
        &self,
        named: &NamedObjects,
        object: &Identity<K>,
        version: Option<&str>,
    ) {
        let namespace = object.namespace().unwrap_or_default();
        for name in named.observe(&namespace, &object.name_any(), version) {
            self.send(ObjectRef::new(&name).within(&namespace));
        }
    }

    /// All objects of a kind in the watched namespaces.
    fn apis<K: Resource<Scope: NamespaceScope>>(&self, resource: &K::DynamicType) -> Vec<Api<K>> {
        let all = || Api::all_with(self.client.clone(), resource);
        if self.namespaces.is_empty() {
            return vec![all()];
        }
        self.namespaces.iter().map(|namespace| all().constrain(namespace)).collect()
    }

    /// Watches the CustomResourceDefinition of an optional kind, and its objects while the kind is installed. One
    /// watch per definition, because the permission is granted by the definition's name.
    async fn follow_definition(self, kind: Kind) {
        let api: Api<Identity<CustomResourceDefinition>> = Api::all(self.client.clone());
        let config = watcher::Config::default().fields(&format!("metadata.name={}", kind.definition()));
        let mut events = std::pin::pin!(list_watch(api, config));
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

    /// Watches the objects of a kind while the API server serves it.
    async fn follow_served(self, kind: Kind) {
        let resource = kind.api_resource();
        let mut tasks = JoinSet::new();
        let mut running: Option<AbortHandle> = None;
        loop {
            let served = match self.client.list_api_group_resources(&resource.api_version).await {
                Ok(found) => Some(found.resources.iter().any(|found| found.name == resource.plural)),
                Err(kube::Error::Api(status)) if status.code == 404 => Some(false),
                Err(error) => {
                    tracing::debug!(kind = kind.as_str(), error = %ErrorChain(&error), "discovery failed");
                    None
                }
            };
            match (served, &running) {
                (Some(true), None) => running = Some(tasks.spawn(self.clone().follow_optional(kind))),
                (Some(false), task) => {
                    let was_known = self.cache.optional().presence(kind) == Presence::Absent;
                    if let Some(task) = task {
                        task.abort();
                        running = None;
                        self.cache.remove(kind);
                    }
                    if !was_known {
                        self.cache.set_presence(kind, Presence::Absent);
                        self.trigger_all();
                    }
                }
                (None, None) => self.cache.set_presence(kind, Presence::Unknown),
                (Some(true) | None, Some(_)) => {}
            }
            while tasks.try_join_next().is_some() {}
            tokio::time::sleep(DISCOVER_EVERY).await;
        }
    }

    /// Watches the objects of an optional kind. It counts as installed after the initial list.
    async fn follow_optional(self, kind: Kind) {
        let writer = self.new_writer(kind);
        let store = writer.store();
        let listed = async {
            if store.wait_until_ready().await.is_ok() {
                self.cache.insert(kind, store.clone());
                self.cache.set_presence(kind, Presence::Present);
                self.trigger_all();
            }
        };
        futures::join!(self.clone().follow(kind, writer), listed);
    }

    fn trigger(&self, auth_service: &Observed) {
        self.send(ObjectRef::from_obj(auth_service));
    }

    fn trigger_all(&self) {
        for auth_service in self.auth_services.state() {
            self.trigger(&auth_service);
        }
    }

    /// Triggers the AuthServices that are blocked by another user of their database: they own no object through which
    /// they could be found.
    fn trigger_refused_databases(&self) {
        let refused = self.auth_services.state_filter(|auth_service| {
            let conditions = auth_service.salvaged().status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|found| found.type_ == DATABASE_SHARED && found.status == "True")
        });
        for auth_service in refused {
            self.trigger(&auth_service);
        }
    }

    fn trigger_owner(&self, change: &Change) {
        let Change { namespace, object } = change;
        let owner = object
            .controller()
            .filter(|controller| *controller.kind == *AuthService::kind(&()))
            .map(|controller| &*controller.name)
            .or(object.instance());
        if let Some(name) = owner {
            self.send(ObjectRef::new(name).within(namespace));
        }
    }

    fn send(&self, object: ObjectRef<Observed>) {
        // A label can name an AuthService that does not exist.
        if self.auth_services.get(&object).is_some() && self.triggers.unbounded_send(object).is_err() {
            tracing::debug!("the controller has stopped");
        }
    }

    fn report(&self, kind: &'static str, error: &watcher::Error) {
        let is_optional = Kind::OPTIONAL.iter().any(|optional| optional.as_str() == kind);
        if is_optional && is_not_served(error) {
            // The kind is being installed or removed: its definition exists before the API is served, and after.
            tracing::info!(kind, "the kind is not served yet; retrying");
            return;
        }
        self.metrics.watch_failed(kind);
        let error = ErrorChain(error).to_string();
        if let Some(unlogged) = self.watch_errors.note(kind, &error, Instant::now()) {
            tracing::warn!(kind, error, unlogged, "a watch failed and is retried");
        }
    }
}

fn is_not_served(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code == 404,
        _ => false,
    }
}

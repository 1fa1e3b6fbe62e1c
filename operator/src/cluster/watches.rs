//! The watches: each fills a store and triggers reconciles of the affected AuthServices.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::{NamespaceResourceScope, NamespaceScope};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_crds::conditions::DATABASE_SHARED;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cluster::auth_clients::AuthClients;
use crate::cluster::cache::Cache;
use crate::cluster::change_filter::ChangeFilter;
use crate::cluster::instrumentation::Instrumentation;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::{AnyObject, Identity};
use crate::cluster::list_watch::watch_all;
use crate::cluster::object_store::{Change, Writer};
use crate::cluster::observed::Observed;
use crate::cluster::observed_client::ObservedClient;
use crate::cluster::owners::Owners;
use crate::cluster::references::NamedObjects;
use crate::cluster::watch_errors::{Problems, WatchErrors};
use crate::error_chain::ErrorChain;
use crate::names::{AUTH_CLIENT, MANAGED_BY, OPERATOR};

/// The channel of AuthServices to reconcile.
pub(crate) type Triggers = UnboundedSender<ObjectRef<Observed>>;

/// The channel of AuthClients to reconcile.
pub(crate) type ClientTriggers = UnboundedSender<ObjectRef<ObservedClient>>;

/// The kinds whose objects reference Secrets and ConfigMaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Referrer {
    AuthService,
    AuthClient,
}

/// What the watches share.
#[derive(Clone)]
pub(crate) struct Watches {
    pub(super) client: Client,
    /// Empty for all.
    namespaces: Arc<[String]>,
    pub(super) cache: Cache,
    auth_services: Store<Observed>,
    pub(super) auth_clients: AuthClients,
    /// Whether the initial list of AuthServices is complete. The store's own notification wakes only one waiter.
    listed: watch::Sender<bool>,
    triggers: Triggers,
    client_triggers: ClientTriggers,
    pub(super) metrics: Arc<dyn Instrumentation>,
    watch_errors: Arc<WatchErrors>,
}

/// Starts all watches as tasks; they end when the set is dropped.
pub(crate) fn start(
    client: Client,
    namespaces: Vec<String>,
    cache: Cache,
    metrics: Arc<dyn Instrumentation>,
    (triggers, client_triggers): (Triggers, ClientTriggers),
) -> (Store<Observed>, AuthClients, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let (auth_services, writer) = reflector::store();
    let watches = Watches {
        client,
        namespaces: namespaces.into(),
        cache,
        auth_services: auth_services.clone(),
        auth_clients: AuthClients::new(),
        listed: watch::Sender::new(false),
        triggers,
        client_triggers,
        metrics,
        watch_errors: Arc::default(),
    };
    tasks.spawn(watches.clone().follow_auth_services(writer));
    tasks.spawn(watches.clone().follow_auth_clients());
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
    (auth_services, watches.auth_clients, tasks)
}

impl Watches {
    pub(super) fn new_writer(&self, kind: Kind) -> Writer {
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
                        self.trigger_clients_of(&object);
                    }
                }
                // Listed objects are only in the store when the list is complete, and only objects in the store are
                // triggered.
                Ok(Event::InitDone) => {
                    problems.end_list();
                    self.cache.retain(&self.auth_services.state());
                    self.listed.send_replace(true);
                    self.trigger_all();
                    self.trigger_all_clients();
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
                    self.trigger_clients_of(&object);
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

    pub(super) async fn follow(self, kind: Kind, mut writer: Writer) {
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
        let named = vec![
            (Referrer::AuthService, self.cache.named_secrets.clone()),
            (Referrer::AuthClient, self.cache.client_secrets.clone()),
        ];
        // Helm releases are the majority of Secrets in a cluster and cannot be referenced.
        let config = watcher::Config::default().fields("type!=helm.sh/release.v1");
        self.follow_named::<Secret>(Kind::Secret, named, config).await;
    }

    /// Watches the metadata of all ConfigMaps, of any owner.
    async fn follow_named_config_maps(self) {
        let named = vec![(Referrer::AuthService, self.cache.named_config_maps.clone())];
        self.follow_named::<ConfigMap>(Kind::ConfigMap, named, watcher::Config::default()).await;
    }

    async fn follow_named<K>(self, kind: Kind, named: Vec<(Referrer, NamedObjects)>, config: watcher::Config)
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
                    if named.iter().any(|(_, named)| named.is_named(&key.0, &key.1)) {
                        listed.insert(key, object.resource_version().unwrap_or_default());
                    }
                }
                Ok(Event::InitDone) => {
                    let listed = std::mem::take(&mut listed);
                    for (referrer, named) in &named {
                        for (namespace, name) in named.observe_all(&listed) {
                            self.trigger_referrer(*referrer, &namespace, &name);
                        }
                    }
                }
                Err(error) => self.report(kind.as_str(), &error),
            }
        }
    }

    /// Triggers what references an object or owns it.
    fn trigger_naming<K: Resource<DynamicType = ()>>(
        &self,
        named: &[(Referrer, NamedObjects)],
        object: &Identity<K>,
        version: Option<&str>,
    ) {
        let namespace = object.namespace().unwrap_or_default();
        for (referrer, named) in named {
            for name in named.observe(&namespace, &object.name_any(), version) {
                self.trigger_referrer(*referrer, &namespace, &name);
            }
        }
    }

    fn trigger_referrer(&self, referrer: Referrer, namespace: &str, name: &str) {
        match referrer {
            Referrer::AuthService => self.send(ObjectRef::new(name).within(namespace)),
            Referrer::AuthClient => self.send_client(ObjectRef::new(name).within(namespace)),
        }
    }

    /// All objects of a kind in the watched namespaces.
    pub(super) fn apis<K: Resource<Scope: NamespaceScope>>(&self, resource: &K::DynamicType) -> Vec<Api<K>> {
        let all = || Api::all_with(self.client.clone(), resource);
        if self.namespaces.is_empty() {
            return vec![all()];
        }
        self.namespaces.iter().map(|namespace| all().constrain(namespace)).collect()
    }

    fn trigger(&self, auth_service: &Observed) {
        self.send(ObjectRef::from_obj(auth_service));
    }

    pub(super) fn trigger_all(&self) {
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

    pub(super) fn send_client(&self, object: ObjectRef<ObservedClient>) {
        if self.auth_clients.get(&object).is_some() && self.client_triggers.unbounded_send(object).is_err() {
            tracing::debug!("the controller has stopped");
        }
    }

    pub(super) fn send(&self, object: ObjectRef<Observed>) {
        // A label can name an AuthService that does not exist.
        if self.auth_services.get(&object).is_some() && self.triggers.unbounded_send(object).is_err() {
            tracing::debug!("the controller has stopped");
        }
    }

    pub(super) fn report(&self, kind: &'static str, error: &watcher::Error) {
        let is_optional =
            kind == AUTH_CLIENT || Kind::OPTIONAL.iter().any(|optional| optional.as_str() == kind);
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

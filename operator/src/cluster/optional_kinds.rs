//! The watches of kinds that may be installed and removed while the operator runs.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use tokio::task::{AbortHandle, JoinSet};

use crate::cluster::cache::Presence;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::Identity;
use crate::cluster::list_watch::list_watch;
use crate::cluster::watches::Watches;
use crate::error_chain::ErrorChain;

/// The interval at which kinds without a definition are discovered.
const DISCOVER_EVERY: Duration = Duration::from_secs(20);

impl Watches {
    /// Watches the CustomResourceDefinition of an optional kind, and its objects while the kind is installed. One
    /// watch per definition, because the permission is granted by the definition's name.
    pub(super) async fn follow_definition(self, kind: Kind) {
        let start = || self.clone().follow_optional(kind);
        let gone = || {
            self.cache.remove(kind);
            self.cache.set_presence(kind, Presence::Absent);
            self.trigger_all();
        };
        let unknown = || self.cache.set_presence(kind, Presence::Unknown);
        self.while_defined(&kind.definition(), start, gone, unknown).await;
    }

    /// Runs the task that `start` returns while a CustomResourceDefinition of this name exists. `gone` is called when it
    /// does not exist, and `unknown` when that cannot be determined.
    pub(super) async fn while_defined<F: Future<Output = ()> + Send + 'static>(
        &self,
        definition: &str,
        start: impl Fn() -> F,
        gone: impl Fn(),
        unknown: impl Fn(),
    ) {
        let api: Api<Identity<CustomResourceDefinition>> = Api::all(self.client.clone());
        let config = watcher::Config::default().fields(&format!("metadata.name={definition}"));
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
                        running = Some(tasks.spawn(start()));
                    }
                }
                Ok(Event::InitDone) if listed => {}
                Ok(Event::Delete(_) | Event::InitDone) => {
                    if let Some(task) = running.take() {
                        task.abort();
                    }
                    gone();
                }
                Err(error) => {
                    if running.is_none() {
                        unknown();
                    }
                    self.report("CustomResourceDefinition", &error);
                }
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    /// Watches the objects of a kind while the API server serves it.
    pub(super) async fn follow_served(self, kind: Kind) {
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
}

//! The watch of AuthClients. Their definition is newer than that of AuthServices: a cluster may lack it, because helm does
//! not upgrade definitions that were installed without the chart.

use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use latchkey_crds::AuthClient;

use crate::cluster::list_watch::watch_all;
use crate::cluster::observed::Observed;
use crate::cluster::observed_client::ObservedClient;
use crate::cluster::watches::Watches;
use crate::names::AUTH_CLIENT;

/// The name of the CustomResourceDefinition.
const DEFINITION: &str = "authclients.latchkey.dev";

impl Watches {
    /// Watches the AuthClients while their definition is installed.
    pub(super) async fn follow_auth_clients(self) {
        let start = || self.clone().follow_installed_clients();
        let gone = || {
            self.auth_clients.close();
            tracing::info!(
                definition = DEFINITION,
                "the CustomResourceDefinition of AuthClient is not installed; AuthServices are reconciled without clients"
            );
        };
        self.while_defined(DEFINITION, start, gone, || {}).await;
    }

    async fn follow_installed_clients(self) {
        let mut events =
            std::pin::pin!(watch_all::<ObservedClient>(self.apis(&()), watcher::Config::default()));
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    self.report(AUTH_CLIENT, &error);
                    continue;
                }
            };
            match &event {
                Event::Apply(client) | Event::InitApply(client) => {
                    self.cache.follow_client(client.salvaged());
                }
                Event::Delete(client) => {
                    let (namespace, name) = (client.namespace().unwrap_or_default(), client.name_any());
                    self.cache.client_secrets.forget(&namespace, &name);
                }
                Event::Init | Event::InitDone => {}
            }
            let may_change_unreadable = self.may_change_unreadable(&event);
            self.auth_clients.process(&event);
            match &event {
                Event::Apply(client) => self.send_client(ObjectRef::from_obj(client)),
                Event::Delete(client) => {
                    // Its entry in the registry, and those that asked for its client id.
                    let client = client.salvaged();
                    self.send(service_of(client));
                    self.trigger_rivals(client);
                }
                Event::InitDone => {
                    let existing = self.auth_clients.select(|_| true);
                    let existing = existing
                        .iter()
                        .map(|client| (client.namespace().unwrap_or_default(), client.name_any()))
                        .collect();
                    self.cache.client_secrets.retain(&existing);
                    self.trigger_all_clients();
                }
                Event::Init | Event::InitApply(_) => {}
            }
            if may_change_unreadable {
                let unreadable = self.auth_clients.select(|client| !client.is_readable()).len();
                self.metrics.set_unreadable(AUTH_CLIENT, unreadable);
            }
        }
    }

    /// Whether the number of unreadable AuthClients may change. Counting them at every event takes too long with thousands.
    fn may_change_unreadable(&self, event: &Event<ObservedClient>) -> bool {
        match event {
            Event::Apply(client) | Event::Delete(client) => {
                let known = self.auth_clients.get(&ObjectRef::from_obj(client));
                !client.is_readable() || known.is_some_and(|known| !known.is_readable())
            }
            Event::InitDone => true,
            Event::Init | Event::InitApply(_) => false,
        }
    }

    pub(super) fn trigger_all_clients(&self) {
        for client in self.auth_clients.select(|_| true) {
            self.send_client(ObjectRef::from_obj(&*client));
        }
    }

    /// Triggers the AuthClients of an AuthService.
    pub(super) fn trigger_clients_of(&self, auth_service: &Observed) {
        let namespace = auth_service.namespace().unwrap_or_default();
        for client in self.auth_clients.of(&namespace, &auth_service.name_any()) {
            self.send_client(ObjectRef::from_obj(&*client));
        }
    }

    /// Triggers the AuthClients of the same AuthService with the same client id.
    fn trigger_rivals(&self, client: &AuthClient) {
        let (namespace, name) = (client.auth_service_namespace(), &*client.spec.auth_service_ref.name);
        let id = client.client_id();
        for rival in self.auth_clients.of(namespace, name) {
            if rival.salvaged().has_client_id(&id) {
                self.send_client(ObjectRef::from_obj(&*rival));
            }
        }
    }
}

fn service_of(client: &AuthClient) -> ObjectRef<Observed> {
    ObjectRef::new(&client.spec.auth_service_ref.name).within(client.auth_service_namespace())
}

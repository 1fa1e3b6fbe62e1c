//! The registry of OAuth clients: what the cluster has, and what the AuthClients of the AuthService ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::core::DynamicObject;
use latchkey_clients::{Registry, RegistryError};
use latchkey_crds::AuthService;
use uuid::Uuid;

use super::error::DereferenceError;
use super::lookup::{Lookup, data_of};
use crate::cluster::observed_client::ObservedClient;
use crate::names::{CLIENTS_KEY, CLIENTS_VOLUME, Names};
use crate::registrations::{Entry, Member, next_registry, seniority};

/// The registry as it is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClientRegistry {
    /// The registry; `None` if no AuthClient was ever accepted.
    pub registry: Option<Registry>,
    /// The AuthClients of its entries, by client id.
    pub owners: BTreeMap<String, String>,
    /// The client ids of all AuthClients of the AuthService.
    pub known: BTreeSet<String>,
    /// The number of decisions about AuthClients that it contains.
    pub decisions: u64,
    /// The last registry in the cluster.
    pub last: Option<Registry>,
    /// Whether the Secret exists and belongs to the AuthService.
    pub exists: bool,
    /// The version of the Secret that was read.
    pub based_on: Option<String>,
    /// Whether the AuthClients are known. If not, what exists stays.
    pub is_known: bool,
    /// Whether the pods of the existing Deployment mount the Secret.
    pub was_mounted: bool,
}

impl ClientRegistry {
    /// Whether the registry in the cluster changes.
    pub(crate) fn is_changed(&self) -> bool {
        self.is_known && self.registry != self.last
    }

    /// Whether pods mount the Secret. Only one that the AuthService owns is mounted: a user who may create Secrets could
    /// otherwise provide one of that name, and with it clients of their own.
    pub(crate) fn is_mounted(&self) -> bool {
        self.exists || if self.is_known { self.registry.is_some() } else { self.was_mounted }
    }
}

impl Lookup<'_> {
    /// The registry with the AuthClients that were decided, and the last entries of the others.
    pub(super) fn client_registry(
        &self,
        auth_service: &AuthService,
        deployment: Option<&Deployment>,
    ) -> Result<ClientRegistry, DereferenceError> {
        let decisions = self.context.registrations.decisions();
        let secret = self.secret(&Names::new(&self.name).clients()).map(|seen| self.newest_registry(seen));
        // Without an owner its content is not trusted.
        let secret = secret.filter(|secret| self.is_ours(secret));
        let last = secret.as_ref().and_then(|secret| stored(secret));
        let based_on = secret.as_ref().and_then(|secret| secret.resource_version());
        let exists = secret.is_some();
        let was_mounted = deployment.is_some_and(mounts_registry);
        let registry = last.clone();
        let unchanged = ClientRegistry {
            registry,
            decisions,
            last,
            exists,
            based_on,
            was_mounted,
            ..ClientRegistry::default()
        };
        let clients = &self.context.auth_clients;
        if !clients.is_complete() {
            return Ok(unchanged);
        }
        let mut found = clients.of(&self.namespace, &self.name);
        found.sort_by(|one, other| seniority(one.salvaged()).cmp(&seniority(other.salvaged())));
        let known = found.iter().map(|client| client.salvaged().client_id()).collect();
        let members: Vec<Member> = found.iter().filter_map(|client| self.member(client)).collect();
        let is_wanted = members.iter().any(|member| matches!(member, Member::Wanted { .. }));
        if !exists && !is_wanted {
            // Until the AuthClients are decided, a registry may have been lost.
            let is_known = members.is_empty();
            return Ok(ClientRegistry { known, is_known, ..unchanged });
        }
        let uid = auth_service.uid().unwrap_or_default();
        let published = self.context.registrations.published(&uid).and_then(|found| found.serial());
        let now = Utc::now();
        let next = next_registry(unchanged.last.as_ref(), members, now, floor(now, published), Uuid::new_v4)
            .map_err(DereferenceError::Registry)?;
        let registry = raised(next.registry, unchanged.last.as_ref(), published);
        let registry = Some(registry.map_err(DereferenceError::Registry)?);
        Ok(ClientRegistry { registry, owners: next.owners, known, is_known: true, ..unchanged })
    }

    fn member(&self, client: &Arc<ObservedClient>) -> Option<Member> {
        let uid = client.uid().unwrap_or_default();
        match self.context.registrations.entry(&uid) {
            Some(Entry::Wanted(wanted)) => Some(Member::Wanted { uid, wanted }),
            Some(Entry::Withheld) => None,
            None => Some(Member::Undecided { client_id: client.salvaged().client_id() }),
        }
    }

    /// The Secret written last, while the cache still has the version that it replaced.
    fn newest_registry(&self, seen: Arc<DynamicObject>) -> Arc<DynamicObject> {
        let version = seen.resource_version();
        let newer =
            self.context.with_memory(&self.uid, |memory| memory.registry.newer_than(version.as_deref()));
        newer.unwrap_or(seen)
    }
}

fn mounts_registry(deployment: &Deployment) -> bool {
    let pod = deployment.spec.template.spec.as_ref();
    let mut volumes = pod.into_iter().flat_map(|pod| pod.volumes.iter().flatten());
    volumes.any(|volume| volume.name == CLIENTS_VOLUME)
}

/// The registry in a Secret; `None` if it is damaged.
fn stored(secret: &DynamicObject) -> Option<Registry> {
    match Registry::parse(&data_of(secret).remove(CLIENTS_KEY)?) {
        Ok(registry) => Some(registry),
        Err(error) => {
            tracing::error!(
                namespace = secret.namespace(),
                name = secret.name_any(),
                %error,
                "the client registry is damaged and is written anew: the tokens of all clients become invalid"
            );
            None
        }
    }
}

/// The registry with a serial above the published one if the cluster has an older one, such as that of a backup: replicas
/// refuse a lower serial.
fn raised(
    registry: Registry,
    last: Option<&Registry>,
    published: Option<u64>,
) -> Result<Registry, RegistryError> {
    match published.zip(last) {
        Some((published, last)) if last.serial() < published => {
            Registry::new(published.saturating_add(1), registry.into_clients())
        }
        _ => Ok(registry),
    }
}

/// The lowest serial of a registry whose predecessor is lost: seconds since the Unix epoch, which no predecessor can
/// have reached, unless it is known.
fn floor(now: DateTime<Utc>, published: Option<u64>) -> u64 {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    published.map_or(seconds, |serial| seconds.max(serial + 1))
}

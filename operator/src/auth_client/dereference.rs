//! Reads what an AuthClient depends on: its AuthService and its Secret, both from the cache, and the labels of namespaces
//! if the AuthService selects them by labels.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use latchkey_clients::MAX_CLIENTS;
use latchkey_crds::auth_service::NamespacesFrom;
use latchkey_crds::{AuthClient, AuthService};

use super::context::Context;
use super::decide::{Admission, admits, may_have_id};
use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::cluster::named_reads::read_named;
use crate::cluster::observed::Observed;
use crate::cluster::observed_client::ObservedClient;
use crate::registrations::seniority;

/// How long the labels of a namespace are remembered. They are not watched: that would need a permission for all
/// namespaces.
const LABELS_FOR: Duration = Duration::from_secs(30);

/// The AuthService of an AuthClient.
pub(crate) enum Host {
    /// It does not exist, or is being deleted.
    Absent,
    /// Another operator reconciles it.
    Foreign,
    Present(Arc<Observed>),
}

/// What could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DereferenceError {
    #[error("the namespace {name} could not be read: {source}")]
    Namespace { name: String, source: kube::Error },
    #[error("the Secret {name} could not be read: {source}")]
    Secret { name: String, source: kube::Error },
}

/// The AuthService of an AuthClient.
pub(crate) fn host(client: &AuthClient, context: &Context) -> Host {
    let reference =
        ObjectRef::new(&client.spec.auth_service_ref.name).within(client.auth_service_namespace());
    let found = context.auth_services.get(&reference);
    match found.filter(|found| found.salvaged().metadata.deletion_timestamp.is_none()) {
        None => Host::Absent,
        Some(found) if context.scope.foreign(found.salvaged()).is_some() => Host::Foreign,
        Some(found) => Host::Present(found),
    }
}

/// What the admission depends on, besides the AuthService.
pub(crate) struct Surroundings {
    labels: Option<BTreeMap<String, String>>,
    id_is_taken: bool,
    is_beyond_limit: bool,
}

impl Surroundings {
    pub(crate) fn admission<'a>(&'a self, service: Option<&'a AuthService>) -> Admission<'a> {
        Admission {
            service,
            labels: self.labels.as_ref(),
            id_is_taken: self.id_is_taken,
            is_beyond_limit: self.is_beyond_limit,
        }
    }
}

/// # Errors
/// When the API server does not respond.
pub(crate) async fn surroundings(
    client: &AuthClient,
    service: Option<&AuthService>,
    context: &Context,
) -> Result<Surroundings, DereferenceError> {
    let mut found = Surroundings { labels: None, id_is_taken: false, is_beyond_limit: false };
    let Some(service) = service else { return Ok(found) };
    found.labels = labels(service, &client.namespace().unwrap_or_default(), context).await?;
    let id = client.client_id();
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let own_seniority = seniority(client);
    let is_older = |other: &ObservedClient| {
        let other = other.salvaged();
        other.is_for(&namespace, &name) && seniority(other) < own_seniority
    };
    // Thousands of AuthClients are compared at each reconcile: the cheapest condition that few of them meet comes first.
    let is_rival = |other: &ObservedClient| other.salvaged().has_client_id(&id) && is_older(other);
    for rival in context.auth_clients.select(is_rival) {
        // One that the AuthService does not admit has no right to the id.
        let rival_namespace = rival.namespace().unwrap_or_default();
        let labels = labels(service, &rival_namespace, context).await?;
        found.id_is_taken |=
            admits(service, &rival_namespace, labels.as_ref()) && may_have_id(service, &rival_namespace, &id);
    }
    found.is_beyond_limit = context.auth_clients.len() > MAX_CLIENTS
        && context.auth_clients.select(is_older).len() >= MAX_CLIENTS;
    Ok(found)
}

/// The labels of a namespace, if the AuthService needs them.
async fn labels(
    service: &AuthService,
    namespace: &str,
    context: &Context,
) -> Result<Option<BTreeMap<String, String>>, DereferenceError> {
    if service.spec.clients.allowed_namespaces.from != NamespacesFrom::Selector {
        return Ok(None);
    }
    let known = context.with_namespaces(|known| {
        known.retain(|_, (read, _)| read.elapsed() < LABELS_FOR);
        known.get(namespace).map(|(_, labels)| labels.clone())
    });
    if let Some(labels) = known {
        return Ok(labels);
    }
    let api: Api<Namespace> = Api::all(context.client.clone());
    let found = api
        .get_metadata_opt(namespace)
        .await
        .map_err(|source| DereferenceError::Namespace { name: namespace.to_owned(), source })?;
    let labels = found.map(|found| found.labels().clone());
    context.with_namespaces(|known| known.insert(namespace.to_owned(), (Instant::now(), labels.clone())));
    Ok(labels)
}

/// The Secret of this name in the namespace of the AuthClient.
///
/// # Errors
/// When the API server does not respond.
pub(crate) async fn secret(
    client: &AuthClient,
    name: &str,
    context: &Context,
) -> Result<Option<Arc<CachedObject>>, DereferenceError> {
    let namespace = client.namespace().unwrap_or_default();
    read_named(&context.client, Kind::Secret, &context.cache.client_secrets, &namespace, name)
        .await
        .map_err(|source| DereferenceError::Secret { name: name.to_owned(), source })
}

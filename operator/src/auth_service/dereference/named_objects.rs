//! Reads the Secrets and ConfigMaps that the spec references.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::try_join_all;

use crate::auth_service::context::Context;
use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::cluster::named_reads::read_named;
use crate::cluster::references::NamedObjects;

use super::error::DereferenceError;

/// Objects of one kind by name; `None` if one does not exist.
pub(super) type Named = HashMap<String, Option<Arc<CachedObject>>>;

/// The Secrets of these names, at least as new as the last observed change.
///
/// # Errors
/// When the API server does not respond.
pub(super) async fn read_secrets(
    context: &Context,
    namespace: &str,
    names: impl Iterator<Item = &str>,
) -> Result<Named, DereferenceError> {
    let error = |name, source| DereferenceError::Secret { name, source };
    read(context, namespace, Kind::Secret, &context.cache.named_secrets, names, error).await
}

/// The same for ConfigMaps.
///
/// # Errors
/// When the API server does not respond.
pub(super) async fn read_config_maps(
    context: &Context,
    namespace: &str,
    names: impl Iterator<Item = &str>,
) -> Result<Named, DereferenceError> {
    let error = |name, source| DereferenceError::ConfigMap { name, source };
    read(context, namespace, Kind::ConfigMap, &context.cache.named_config_maps, names, error).await
}

async fn read(
    context: &Context,
    namespace: &str,
    kind: Kind,
    objects: &NamedObjects,
    names: impl Iterator<Item = &str>,
    error: impl Fn(String, kube::Error) -> DereferenceError,
) -> Result<Named, DereferenceError> {
    let names: BTreeSet<&str> = names.collect();
    let found = names.into_iter().map(async |name| {
        let object = read_named(&context.client, kind, objects, namespace, name).await;
        object.map(|object| (name.to_owned(), object)).map_err(|source| error(name.to_owned(), source))
    });
    Ok(try_join_all(found).await?.into_iter().collect())
}

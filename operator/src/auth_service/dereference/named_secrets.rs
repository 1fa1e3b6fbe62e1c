//! Reads the Secrets that the spec references.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::try_join_all;
use kube::Api;
use kube::core::DynamicObject;

use crate::auth_service::context::Context;
use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::AnyObject;
use crate::cluster::references::SecretState;

use super::error::DereferenceError;

/// The Secrets of these names, at least as new as the last observed change; `None` if a Secret does not exist.
///
/// # Errors
/// When the API server does not respond.
pub(super) async fn read(
    context: &Context,
    namespace: &str,
    names: impl Iterator<Item = &str>,
) -> Result<HashMap<String, Option<Arc<DynamicObject>>>, DereferenceError> {
    let names: BTreeSet<&str> = names.collect();
    let found = names.into_iter().map(|name| async move {
        let secret = read_one(context, namespace, name).await?;
        Ok((name.to_owned(), secret.map(|secret| Arc::new(secret.object()))))
    });
    let found: Result<Vec<_>, DereferenceError> = try_join_all(found).await;
    Ok(found?.into_iter().collect())
}

async fn read_one(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<CachedObject>>, DereferenceError> {
    let secrets = &context.cache.named_secrets;
    let asked = match secrets.known(namespace, name) {
        SecretState::Read(secret) => return Ok(secret),
        SecretState::Unread(asked) => asked,
    };
    let api: Api<AnyObject> =
        Api::namespaced_with(context.client.clone(), namespace, &Kind::Secret.api_resource());
    let secret = api
        .get_opt(name)
        .await
        .map_err(|source| DereferenceError::Secret { name: name.to_owned(), source })?
        .map(|AnyObject(secret)| Arc::new(CachedObject::new(Kind::Secret, secret)));
    secrets.keep(namespace, name, asked, secret.clone());
    Ok(secret)
}

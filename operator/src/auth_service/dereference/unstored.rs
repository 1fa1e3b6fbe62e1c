//! Reads the objects of an AuthService that existed before it did, such as those of a deleted AuthService of the same
//! name: until then the cache does not store them.

use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::auth_service::context::Context;
use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::AnyObject;
use crate::cluster::owners::Owners;
use crate::names::{INSTANCE, MANAGED_BY, OPERATOR};

use super::error::DereferenceError;

/// The page size of the list of pods or Jobs.
const PAGE: u32 = 25;

/// Adds the unstored objects of an AuthService to the cache. Usually there are none.
///
/// # Errors
/// When the API server does not respond.
pub(super) async fn read(context: &Context, namespace: &str, name: &str) -> Result<(), DereferenceError> {
    for (store, group) in context.cache.unstored(namespace, name) {
        let kind = store.kind();
        let api: Api<AnyObject> =
            Api::namespaced_with(context.client.clone(), namespace, &kind.api_resource());
        let found = if Owners::are_grouped(kind) {
            list(&api, kind, &group).await
        } else {
            api.get_opt(&group)
                .await
                .map(|object| object.into_iter().map(|object| cached(kind, object)).collect())
        };
        let objects =
            found.map_err(|source| DereferenceError::Unstored { kind, name: group.clone(), source })?;
        store.insert_read(namespace, &group, objects);
    }
    Ok(())
}

fn cached(kind: Kind, AnyObject(object): AnyObject) -> (String, CachedObject) {
    (object.name_any(), CachedObject::new(kind, object))
}

async fn list(
    api: &Api<AnyObject>,
    kind: Kind,
    auth_service: &str,
) -> Result<Vec<(String, CachedObject)>, kube::Error> {
    let labels = format!("{MANAGED_BY}={OPERATOR},{INSTANCE}={auth_service}");
    let mut parameters = ListParams::default().labels(&labels).limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = api.list(&parameters).await?;
        objects.extend(page.items.into_iter().map(|object| cached(kind, object)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => return Ok(objects),
        }
    }
}

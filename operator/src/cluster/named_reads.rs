//! Reads a referenced Secret or ConfigMap, once for each version.

use std::sync::Arc;

use kube::{Api, Client};

use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::cluster::lenient::AnyObject;
use crate::cluster::references::{NamedObjects, NamedState};

/// The object of that name; from the cache if no change was observed since it was read.
///
/// # Errors
/// When the API server does not respond.
pub(crate) async fn read_named(
    client: &Client,
    kind: Kind,
    objects: &NamedObjects,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<CachedObject>>, kube::Error> {
    if let NamedState::Read(object) = objects.get(namespace, name) {
        return Ok(object);
    }
    // Many reconciles may need the same object at the same time.
    let _reading = objects.begin_read(namespace, name).await;
    let changes = match objects.get(namespace, name) {
        NamedState::Read(object) => return Ok(object),
        NamedState::Unread(changes) => changes,
    };
    let api: Api<AnyObject> = Api::namespaced_with(client.clone(), namespace, &kind.api_resource());
    let object = api.get_opt(name).await?;
    let object = object.map(|AnyObject(object)| Arc::new(CachedObject::new(kind, object)));
    objects.insert(namespace, name, changes, object.clone());
    Ok(object)
}

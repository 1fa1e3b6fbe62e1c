//! Creates objects that do not exist yet, and detects an object of another owner in the same request.

use std::sync::Arc;

use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::admission::Written;
use super::work::{ApplyError, Work};
use crate::auth_service::ownership::is_given_to;
use crate::auth_service::render::Rendered;
use crate::names::{MANAGED_BY, OPERATOR};

/// A resource version that no object has: etcd counts from one before the first write. An apply with this version
/// fails with 409 if the object exists, and creates it if it does not, because the version of a new object is
/// ignored. (A `create` would also fail, but its fields would belong to another field manager entry than those of a
/// later apply, and would not be removed when they are no longer rendered.)
pub(crate) const NO_VERSION: &str = "1";

/// The object that a write addresses.
pub(super) enum Target {
    /// No object of that name may exist.
    New,
    /// The object with this uid.
    Found(Option<String>),
}

/// The result of a request for an object that is not in the cache.
pub(super) enum Found {
    /// The object was created.
    Created(Arc<DynamicObject>),
    /// An object of that name exists.
    Exists(Arc<DynamicObject>),
    /// The object does not exist and must not be created now.
    Absent,
}

impl Work<'_> {
    /// Creates an object that is not in the cache. If an object of that name exists, returns that object instead.
    pub(super) async fn create_if_absent(
        &self,
        api: &Api<DynamicObject>,
        rendered: &Rendered,
    ) -> Result<Found, kube::Error> {
        // The rendered object depends on the content of the existing one, which is not in the cache.
        if rendered.adopts || rendered.based_on.is_some() {
            // If it was deleted, the deletion triggers the next reconcile.
            let live = api.get_opt(&rendered.name).await?;
            return Ok(live.map_or(Found::Absent, |live| Found::Exists(Arc::new(live))));
        }
        match self.patch(api, rendered, rendered.value.clone(), Target::New).await {
            Ok(object) => Ok(Found::Created(Arc::new(object))),
            Err(kube::Error::Api(status)) if status.code == 409 => match api.get_opt(&rendered.name).await? {
                Some(live) => Ok(Found::Exists(Arc::new(live))),
                None => Err(kube::Error::Api(status)),
            },
            Err(error) => Err(error),
        }
    }

    /// Creates an object whose content cannot be generated again. The request fails if an object of that name exists.
    pub(super) async fn create(
        &mut self,
        rendered: Rendered,
    ) -> Result<Option<Arc<DynamicObject>>, ApplyError> {
        let Rendered { kind, name, value, .. } = rendered.clone();
        let api = self.api(kind);
        let failed = |source| ApplyError::Request {
            kind,
            name: name.clone(),
            verb: "created",
            source: Box::new(source),
        };
        if !self.may_create().await.map_err(failed)? {
            return Err(ApplyError::OutdatedSpec);
        }
        let object = serde_json::from_value(value).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        let parameters = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        match api.create(&parameters, &object).await {
            Ok(object) => {
                self.context.metrics.applied(kind);
                tracing::info!(kind = kind.as_str(), name, namespace = self.service.namespace, "created");
                let object = self.record_admission(&api, &rendered, Arc::new(object), Written::Created).await;
                object.map(Some).map_err(failed)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                match api.get_opt(&name).await.map_err(failed)? {
                    Some(found) if !self.is_ours(&found) && !is_given_to(&found, &self.service.name) => {
                        self.name_conflicts.push((kind, name));
                        Ok(None)
                    }
                    // The label by which the watch selects the object was removed.
                    Some(found) if found.labels().get(MANAGED_BY).is_none_or(|by| by != OPERATOR) => {
                        let labels = json!({ MANAGED_BY: OPERATOR });
                        let version = found.resource_version();
                        let change = json!({
                            "metadata": { "uid": found.uid(), "resourceVersion": version, "labels": labels },
                        });
                        match api.patch(&name, &PatchParams::default(), &Patch::Merge(&change)).await {
                            // The next reconcile inspects the result.
                            Err(kube::Error::Api(status)) if status.code == 409 => {}
                            result => drop(result.map_err(failed)?),
                        }
                        Err(ApplyError::WatchLags(name))
                    }
                    _ => Err(ApplyError::WatchLags(name)),
                }
            }
            Err(source) => Err(failed(source)),
        }
    }
}

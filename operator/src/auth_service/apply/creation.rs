//! Makes what is not there yet, and finds out in the same request whether a stranger's object is.

use std::sync::Arc;

use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::work::{ApplyError, Work};
use crate::auth_service::render::Rendered;
use crate::names::{MANAGED_BY, OPERATOR};

/// A resource version that no object has, since etcd counts from one before the first is written. Applying with a
/// version fails with 409 on every object that has another one. Where there is none it makes one: the version of
/// what is created is left out of account. (A `create` would answer the same, but what it sets belongs to
/// another field manager entry than what is applied later, and would never go when it is no longer rendered.)
pub(super) const NO_VERSION: &str = "1";

/// What is written to.
pub(super) enum Target {
    /// Nothing of that name may be there.
    New,
    /// The object with this uid.
    Found(Option<String>),
}

/// What came of asking for an object that the watches do not show.
pub(super) enum Found {
    /// It has been made.
    Made(Arc<DynamicObject>),
    /// Something of that name is there.
    There(Arc<DynamicObject>),
    /// There is none, and none is to be made now.
    Nothing,
}

impl Work<'_> {
    /// Makes what the watches do not show, unless something of that name is there: then that.
    pub(super) async fn first(
        &self,
        api: &Api<DynamicObject>,
        rendered: &Rendered,
    ) -> Result<Found, kube::Error> {
        // It is rendered from what an object of that name holds, which the watches did not show either.
        if rendered.adopts || rendered.based_on.is_some() {
            // Deleted since, perhaps: the next look, which its deletion leads to, decides what that means.
            let live = api.get_opt(&rendered.name).await?;
            return Ok(live.map_or(Found::Nothing, |live| Found::There(Arc::new(live))));
        }
        match self.patch(api, rendered, Target::New).await {
            Ok(object) => Ok(Found::Made(Arc::new(object))),
            Err(kube::Error::Api(status)) if status.code == 409 => match api.get_opt(&rendered.name).await? {
                Some(live) => Ok(Found::There(Arc::new(live))),
                None => Err(kube::Error::Api(status)),
            },
            Err(error) => Err(error),
        }
    }

    /// Makes what cannot be made twice: it is created, which fails where something of that name exists.
    pub(super) async fn create(
        &mut self,
        rendered: Rendered,
    ) -> Result<Option<Arc<DynamicObject>>, ApplyError> {
        let Rendered { kind, name, value, .. } = rendered;
        let api = self.api(kind);
        let failed = |source| ApplyError::Request {
            kind,
            name: name.clone(),
            verb: "created",
            source: Box::new(source),
        };
        let object = serde_json::from_value(value).map_err(|error| failed(kube::Error::SerdeError(error)))?;
        let parameters = PostParams { field_manager: Some(OPERATOR.to_owned()), ..PostParams::default() };
        match api.create(&parameters, &object).await {
            Ok(object) => {
                self.context.metrics.applied(kind);
                tracing::info!(kind = kind.as_str(), name, namespace = self.service.namespace, "created");
                Ok(Some(Arc::new(object)))
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                match api.get_opt(&name).await.map_err(failed)? {
                    Some(found) if !self.is_ours(&found) => {
                        self.name_conflicts.push((kind, name));
                        Ok(None)
                    }
                    // Somebody took the label by which the watch finds it.
                    Some(found) if found.labels().get(MANAGED_BY).is_none_or(|by| by != OPERATOR) => {
                        let labels = json!({ MANAGED_BY: OPERATOR });
                        let version = found.resource_version();
                        let change = json!({
                            "metadata": { "uid": found.uid(), "resourceVersion": version, "labels": labels },
                        });
                        match api.patch(&name, &PatchParams::default(), &Patch::Merge(&change)).await {
                            // The next reconcile looks at what it has become.
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

//! One pass over the objects of an AuthService: what it works with, and how each desired action is carried out.

use std::sync::Arc;

use kube::api::{DeleteParams, Preconditions};
use kube::core::DynamicObject;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};

use crate::auth_service::context::Context;
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::problem::Problem;
use crate::auth_service::render::Action;
use crate::auth_service::validate::Validated;
use crate::cluster::controller_reference::controller_of;
use crate::cluster::kinds::Kind;

use super::refusal;

/// The maximum number of writes per object and reconcile. Another writer that keeps changing the object must not
/// prevent the reconcile from ending; the next reconcile continues.
pub(super) const MOST_WRITES: usize = 5;

/// An object could not be written, for a possibly temporary reason.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The API server did not respond, or asked for a retry.
    #[error("the {kind} {name} could not be {verb}: {source}")]
    Request { kind: Kind, name: String, verb: &'static str, source: Box<kube::Error> },
    /// The AuthService was deleted meanwhile, and its objects are being garbage-collected.
    #[error("the AuthService was deleted")]
    OwnerGone,
    /// A generated Secret exists already: the cache lags.
    #[error("the Secret {0} exists, but is not in the cache yet")]
    WatchLags(String),
    /// The API server has another spec than the one that is being reconciled: the cache lags.
    #[error("the AuthService has changed, but the change is not in the cache yet")]
    OutdatedSpec,
    /// The key set was changed since it was read; the decision may be outdated.
    #[error("the Secret {0} has changed since it was read")]
    Outdated(String),
}

pub(super) struct Work<'a> {
    pub(super) service: &'a Validated,
    pub(super) external_state: &'a ExternalState,
    pub(super) context: &'a Context,
    pub(super) name_conflicts: Vec<(Kind, String)>,
    pub(super) refused: Vec<Problem>,
    pub(super) contested: Vec<(Kind, String)>,
    /// Whether the API server confirmed the spec in this reconcile.
    pub(super) confirmed: bool,
    /// Whether the API server has another spec.
    pub(super) outdated: bool,
}

impl Work<'_> {
    /// Carries out the action for one object. Returns the live object.
    pub(super) async fn reconcile_object(
        &mut self,
        action: Action,
    ) -> Result<Option<Arc<DynamicObject>>, ApplyError> {
        if !self.owner_exists() {
            return Err(ApplyError::OwnerGone);
        }
        let (kind, name) = action.target();
        let name = name.to_owned();
        let verb = match &action {
            Action::Apply(_) | Action::Repair(_) => "applied",
            Action::Create(_) => "created",
            Action::Delete { .. } => "deleted",
            Action::Keep { .. } => "kept",
            Action::Scale { .. } => "scaled",
        };
        let guarded = matches!(&action, Action::Apply(rendered) if rendered.based_on.is_some());
        let result = match action {
            Action::Apply(rendered) => self.apply_rendered(rendered).await,
            Action::Repair(rendered) => self.repair_existing(rendered).await,
            Action::Create(rendered) => return self.create(rendered).await,
            Action::Delete { kind, name } => self.delete(kind, &name).await.map(|()| None),
            Action::Keep { .. } => Ok(None),
            Action::Scale { name, replicas } => self.scale(&name, replicas).await,
        };
        if self.outdated {
            return Err(ApplyError::OutdatedSpec);
        }
        match result {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) if guarded && status.code == 409 => Err(ApplyError::Outdated(name)),
            Err(kube::Error::Api(status)) if refusal::is_refusal(kind, &status) => {
                self.refused.push(refusal::problem(kind, &name, verb, &status));
                Ok(None)
            }
            Err(source) => Err(ApplyError::Request { kind, name, verb, source: Box::new(source) }),
        }
    }

    /// Deletes an object of this AuthService in the inspected version, if the spec is the present one. If the cached
    /// version is outdated, the object is read and inspected again.
    async fn delete(&mut self, kind: Kind, name: &str) -> Result<(), kube::Error> {
        let Some(seen) = self.context.cache.get(kind, &self.service.namespace, name) else { return Ok(()) };
        if !seen.is_controlled_by(&self.service.owner.uid) || seen.is_deleting() {
            return Ok(());
        }
        if !self.is_current().await? {
            return Ok(());
        }
        let api = self.api(kind);
        let mut inspected = (seen.uid(), seen.version().map(str::to_owned));
        for _ in 0..MOST_WRITES {
            let (uid, resource_version) = inspected;
            let parameters =
                DeleteParams::background().preconditions(Preconditions { uid, resource_version });
            match api.delete(name, &parameters).await {
                Ok(_) => {
                    self.context.metrics.deleted(kind);
                    tracing::info!(kind = kind.as_str(), name, namespace = self.service.namespace, "deleted");
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error),
            }
            let Some(live) = api.get_opt(name).await? else { return Ok(()) };
            if !self.is_ours(&live) || live.metadata.deletion_timestamp.is_some() {
                return Ok(());
            }
            inspected = (live.uid(), live.resource_version());
        }
        self.contested.push((kind, name.to_owned()));
        Ok(())
    }

    /// Whether pods may be started and changed. The first pods must not start with a ConfigMap or NetworkPolicy to
    /// which another writer added fields. An existing Deployment is still applied, because otherwise that writer could
    /// prevent repairs of it.
    pub(super) fn prerequisites_are_applied(&self) -> bool {
        self.name_conflicts.is_empty()
            && self.refused.is_empty()
            && (self.contested.is_empty() || self.external_state.deployment.is_some())
    }

    /// The number of objects that could not be made as rendered.
    pub(super) fn obstacles(&self) -> usize {
        self.name_conflicts.len() + self.refused.len() + self.contested.len()
    }

    /// Whether the cache still has the AuthService: a write may take seconds. Objects of a deleted one would be created
    /// after the garbage collector has deleted its objects, and stand in the way of a new one of the same name.
    fn owner_exists(&self) -> bool {
        let owner = ObjectRef::new(&self.service.name).within(&self.service.namespace);
        self.context.auth_services.get(&owner).is_some_and(|found| {
            found.uid().as_deref() == Some(&*self.service.owner.uid)
                && found.meta().deletion_timestamp.is_none()
        })
    }

    pub(super) fn is_ours(&self, object: &DynamicObject) -> bool {
        controller_of(object).is_some_and(|owner| owner.uid == self.service.owner.uid)
    }

    pub(super) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.context.client.clone(), &self.service.namespace, &kind.api_resource())
    }
}

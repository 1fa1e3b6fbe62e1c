//! Makes the cluster hold what was rendered: writes what differs, deletes what is no longer wanted, touches
//! nothing that is not ours.
//!
//! What differs is decided against the watches' stores, so that a steady state asks nothing. The stores may lag;
//! that is made up for by the API server itself: what is changed or deleted carries the uid that was judged, a removal
//! carries the resource version as well, and what is made for the first time is asked for in a way that fails where
//! something of that name exists (see `creation`). How one object is made what was rendered: `object`.

mod creation;
mod difference;
mod inspection;
mod keys_hint;
mod object;
mod pause;
mod refusal;
mod repair;
mod replicas;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};

use crate::cache::controller_of;
use crate::context::Context;
use crate::kinds::Kind;

pub use pause::observe;

use super::build::{Exposing, NetworkPolicies, Objects, Schema, Wanted};
use super::validate::{Problem, Validated};

/// How many writes one reconcile sends for one object. Another writer that changes the object all the time must not
/// keep the reconcile from ending: what is not correct after the last write is left to the next reconcile.
const MOST_WRITES: usize = 5;

/// An object could not be written, for a reason that may pass.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server did not answer, or asked to be asked again.
    #[error("the {kind} {name} could not be {verb}: {source}")]
    Request {
        /// The object's kind.
        kind: Kind,
        /// The object's name.
        name: String,
        /// What was tried.
        verb: &'static str,
        /// What went wrong.
        source: Box<kube::Error>,
    },
    /// A Secret that was made once exists already: the watch has not caught up.
    #[error("the Secret {0} exists, but the watch does not show it yet")]
    WatchLags(String),
    /// The key set was written by somebody else since it was read: what was decided may be out of date.
    #[error("the Secret {0} has changed since it was read")]
    Outdated(String),
}

/// What came of it, for the status.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The Deployment as it is now, if there is one of ours.
    pub deployment: Option<Deployment>,
    /// Where the schema stands.
    pub schema: Schema,
    /// Objects whose names somebody else has.
    pub taken: Vec<(Kind, String)>,
    /// Objects that the API server refused, with its reason.
    pub refused: Vec<Problem>,
    /// Objects that another writer changed faster than they could be repaired.
    pub contested: Vec<(Kind, String)>,
    /// Whether something is to be written that is held back by a pause.
    pub pending: bool,
}

/// Makes the cluster hold what was rendered.
///
/// # Errors
/// When the API server did not answer; what it refuses for good is part of the result.
pub async fn apply(service: &Validated, objects: Objects, context: &Context) -> Result<Applied, ApplyError> {
    // Taken apart without `..`: an object that is built and forgotten here does not compile.
    let Objects {
        service_account,
        jwt_keys,
        keys_hints,
        smtp,
        trusted_cas,
        settings,
        service: api_service,
        management_service,
        postgres_credentials,
        postgres_service,
        postgres,
        redis_credentials,
        redis_service,
        redis,
        migration,
        deployment,
        disruption_budget,
        service_monitor,
        autoscaler,
        exposing: Exposing { certificate, ingress, http_route },
        network_policies:
            NetworkPolicies {
                server: server_policy,
                migration: migration_policy,
                postgres: postgres_policy,
                redis: redis_policy,
            },
        schema,
    } = objects;
    let mut work = Work { service, context, taken: Vec::new(), refused: Vec::new(), contested: Vec::new() };
    // What pods mount or run as comes before the pods; Services before the names in them are looked up.
    for wanted in
        [service_account, jwt_keys, smtp, trusted_cas, settings, postgres_credentials, redis_credentials]
    {
        work.settle(wanted).await?;
    }
    for wanted in [server_policy, migration_policy, postgres_policy, redis_policy] {
        work.settle(wanted).await?;
    }
    // A pod must never mount a stranger's Secret because it has the name of one of ours, nor start without the policy
    // that it is to be kept by.
    let mut may_run = work.taken.is_empty() && work.refused.is_empty();
    // The first pods do not start with settings, or behind a policy, that hold what another writer added. A Deployment
    // that exists is repaired all the same, or that writer would keep it from being repaired.
    may_run &= work.contested.is_empty() || service.deployment.is_some();
    if may_run {
        for hint in &keys_hints {
            work.hint(hint).await;
        }
    }
    for wanted in [api_service, management_service, postgres_service, redis_service] {
        work.settle(wanted).await?;
    }
    // Before the Deployment, so that never both it and the autoscaler set the number of replicas.
    work.settle(autoscaler).await?;
    let mut current = service.deployment.clone();
    if may_run {
        work.settle(postgres).await?;
        work.settle(redis).await?;
        if let Wanted::Applied(job) | Wanted::Minted(job) = &migration {
            work.delete_superseded_jobs(&job.name).await?;
        }
        work.settle(migration).await?;
        // After the Job: the server refuses to be ready on a schema that is older than itself.
        if let Some(object) = work.settle(deployment).await? {
            current = DynamicObject::clone(&object).try_parse().ok();
        }
    }
    work.settle(disruption_budget).await?;
    work.settle(service_monitor).await?;
    for wanted in [certificate, ingress, http_route] {
        work.settle(wanted).await?;
    }
    let Work { taken, refused, contested, .. } = work;
    Ok(Applied { deployment: current, schema, taken, refused, contested, pending: false })
}

struct Work<'a> {
    service: &'a Validated,
    context: &'a Context,
    taken: Vec<(Kind, String)>,
    refused: Vec<Problem>,
    contested: Vec<(Kind, String)>,
}

impl Work<'_> {
    /// Makes one object what is wanted; the object as it is then.
    async fn settle(&mut self, wanted: Wanted) -> Result<Option<Arc<DynamicObject>>, ApplyError> {
        let (kind, name, verb) = match &wanted {
            Wanted::Applied(rendered) => (rendered.kind, rendered.name.clone(), "applied"),
            Wanted::Minted(rendered) => (rendered.kind, rendered.name.clone(), "created"),
            Wanted::Gone { kind, name } => (*kind, name.clone(), "deleted"),
            Wanted::Kept { kind, name } => (*kind, name.clone(), "kept"),
            Wanted::Scaled { name, .. } => (Kind::Deployment, name.clone(), "scaled"),
        };
        let guarded = matches!(&wanted, Wanted::Applied(rendered) if rendered.based_on.is_some());
        let result = match wanted {
            Wanted::Applied(rendered) => self.make(rendered).await,
            Wanted::Minted(rendered) => return self.create(rendered).await,
            Wanted::Gone { kind, name } => self.delete(kind, &name).await.map(|()| None),
            Wanted::Kept { .. } => Ok(None),
            Wanted::Scaled { name, replicas } => self.scale(&name, replicas).await,
        };
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

    /// Deletes an object of ours in the version that was inspected. A version that the watch does not show yet is read
    /// and decided upon again.
    async fn delete(&mut self, kind: Kind, name: &str) -> Result<(), kube::Error> {
        let Some(seen) = self.context.cache.get(kind, &self.service.namespace, name) else { return Ok(()) };
        if !seen.is_controlled_by(&self.service.owner.uid) || seen.is_deleting() {
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

    /// Jobs of other images and databases.
    async fn delete_superseded_jobs(&mut self, current: &str) -> Result<(), ApplyError> {
        for job in &self.service.jobs {
            let name = job.name_any();
            if name != current {
                self.settle(Wanted::Gone { kind: Kind::Job, name }).await?;
            }
        }
        Ok(())
    }

    fn is_ours(&self, object: &DynamicObject) -> bool {
        controller_of(object).is_some_and(|owner| owner.uid == self.service.owner.uid)
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.context.client.clone(), &self.service.namespace, &kind.api_resource())
    }
}

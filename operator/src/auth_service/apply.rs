//! Makes the cluster hold what was rendered: writes what differs, deletes what is no longer wanted, touches
//! nothing that is not ours.
//!
//! What differs is decided against the watches' stores, so that a steady state asks nothing. The stores may lag;
//! that is made up for by the API server itself: what is changed or deleted carries the uid that was judged, and what
//! is made for the first time is asked for in a way that fails where something of that name exists (see `creation`).

mod creation;
mod difference;
mod keys_hint;
mod pause;
mod refusal;
mod repair;
mod replicas;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::cache::controller_of;
use crate::context::{Context, Known, WrittenKeys};
use crate::fingerprint::Fingerprint;
use crate::kept::Kept;
use crate::kinds::Kind;
use crate::names::OPERATOR;
use crate::orphan::is_orphan_of;

use creation::{Found, Target};

pub use pause::observe;

use super::build::{Exposing, NetworkPolicies, Objects, Rendered, Schema, Wanted};
use super::validate::{Problem, Validated};

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
    let mut work = Work { service, context, taken: Vec::new(), refused: Vec::new() };
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
    let may_run = work.taken.is_empty() && work.refused.is_empty();
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
    Ok(Applied { deployment: current, schema, taken: work.taken, refused: work.refused, pending: false })
}

struct Work<'a> {
    service: &'a Validated,
    context: &'a Context,
    taken: Vec<(Kind, String)>,
    refused: Vec<Problem>,
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

    async fn make(&mut self, rendered: Rendered) -> Result<Option<Arc<DynamicObject>>, kube::Error> {
        let Rendered { kind, name, .. } = &rendered;
        let api = self.api(*kind);
        let seen = self.context.cache.get(*kind, &self.service.namespace, name);
        if seen.as_ref().is_some_and(|seen| self.is_known_to_be_right(&rendered, seen)) {
            return Ok(None);
        }
        let live = match seen {
            Some(seen) => Arc::new(seen.object()),
            // Strangers' objects do not have our label, so that the watches do not show them.
            None => match self.first(&api, &rendered).await? {
                Found::Made(object) => return Ok(Some(object)),
                Found::There(object) => object,
                Found::Nothing => return Ok(None),
            },
        };
        let may_touch = self.is_ours(&live)
            || (rendered.adopts && controller_of(&live).is_none())
            || is_orphan_of(&live, &self.service.name);
        if !may_touch {
            self.taken.push((*kind, name.clone()));
            return Ok(None);
        }
        // What is being deleted is made again when it is gone; the watch says when.
        if live.metadata.deletion_timestamp.is_some() {
            return Ok(Some(live));
        }
        // A Job's pods cannot be changed; its name says what it is for, so that there is no need to.
        let stays = *kind == Kind::Job && !difference::has_hash(&rendered, &live);
        let added = repair::strays(&rendered, &live);
        if stays || (added.is_none() && !self.differs(&rendered, &live)) {
            self.remember(&rendered, None, &live);
            return Ok(Some(live));
        }
        if *kind == Kind::Deployment {
            self.hand_over_replicas(&api, name).await?;
        }
        if let Some(added) = added {
            repair::take_out(&api, name, &live, added).await?;
        }
        match self.patch(&api, rendered.clone(), Target::Found(live.uid())).await {
            // Lists whose elements are told apart by what somebody changed in them (a Service's ports) cannot
            // be set right by applying: the changed element is theirs and stays beside ours.
            Err(kube::Error::Api(status))
                if status.code == 422 && *kind != Kind::Job && rendered.based_on.is_none() =>
            {
                repair::overwrite(&api, &rendered, &live).await?;
                self.patch(&api, rendered, Target::Found(live.uid())).await.map(Some)
            }
            result => result.map(Some),
        }
    }

    fn differs(&self, rendered: &Rendered, live: &DynamicObject) -> bool {
        let made = self.with_known(rendered, |known| known.and_then(|known| known.made));
        difference::differs(rendered, live, made)
    }

    /// Whether nothing was left to do in just this version of the object, with just this rendered.
    fn is_known_to_be_right(&self, rendered: &Rendered, seen: &Kept) -> bool {
        self.with_known(rendered, |known| {
            known.is_some_and(|known| known.right.is_some() && known.right.as_deref() == seen.version())
        })
    }

    fn with_known<T>(&self, rendered: &Rendered, work: impl FnOnce(Option<&Known>) -> T) -> T {
        let Rendered { kind, name, hash, .. } = rendered;
        self.context.with_memory(&self.service.owner.uid, |memory| work(memory.known(*kind, name, hash)))
    }

    /// Remembers that nothing is left to do in this version of the object; `made` is what the API server made of
    /// what was rendered, when it has just been applied.
    fn remember(&self, rendered: &Rendered, made: Option<Fingerprint>, object: &DynamicObject) {
        let made = made.or_else(|| self.with_known(rendered, |known| known?.made));
        let Rendered { kind, name, hash, .. } = rendered;
        let right = object.metadata.resource_version.as_deref().map(Box::from);
        let known =
            Known { kind: *kind, name: name.as_str().into(), rendered: hash.as_str().into(), made, right };
        self.context.with_memory(&self.service.owner.uid, |memory| memory.learn(known));
    }

    async fn patch(
        &self,
        api: &Api<DynamicObject>,
        rendered: Rendered,
        target: Target,
    ) -> Result<Arc<DynamicObject>, kube::Error> {
        let Rendered { kind, name, value, based_on, .. } = &rendered;
        let mut parameters = PatchParams::apply(OPERATOR);
        let mut value = value.clone();
        match target {
            Target::New => value["metadata"]["resourceVersion"] = Value::from(creation::NO_VERSION),
            Target::Found(uid) => {
                // Ours, so that what somebody else set in it is set right; and this very object.
                parameters = parameters.force();
                value["metadata"]["uid"] = json!(uid);
            }
        }
        if let Some(version) = based_on {
            value["metadata"]["resourceVersion"] = Value::String(version.clone());
        }
        let object = api.patch(name, &parameters, &Patch::Apply(&value)).await?;
        self.context.metrics.applied(*kind);
        tracing::info!(kind = kind.as_str(), name, namespace = self.service.namespace, "applied");
        self.remember(&rendered, Some(difference::made_of(&rendered.value, &object)), &object);
        let object = Arc::new(object);
        if let Some(version) = based_on {
            let written = WrittenKeys(Some((version.clone(), object.clone())));
            self.context.with_memory(&self.service.owner.uid, |memory| memory.keys = written);
        }
        Ok(object)
    }

    async fn delete(&mut self, kind: Kind, name: &str) -> Result<(), kube::Error> {
        let Some(live) = self.context.cache.get(kind, &self.service.namespace, name) else { return Ok(()) };
        if !live.is_controlled_by(&self.service.owner.uid) || live.is_deleting() {
            return Ok(());
        }
        let parameters = DeleteParams::background()
            .preconditions(Preconditions { uid: live.uid(), resource_version: None });
        match self.api(kind).delete(name, &parameters).await {
            Ok(_) => {
                self.context.metrics.deleted(kind);
                tracing::info!(kind = kind.as_str(), name, namespace = self.service.namespace, "deleted");
                Ok(())
            }
            // Gone already, or another object by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(error),
        }
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

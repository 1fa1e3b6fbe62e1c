//! Makes one object what was rendered.
//!
//! Each version of the object that the API server shows is inspected before anything is done about it, the answers to
//! the operator's own writes included. Only a version in which the inspection found nothing to do is remembered as
//! correct, and only what is remembered lets the reconcile skip the event of a watch that shows this version.

use std::sync::Arc;
use std::time::Instant;

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::creation::{self, Found, Target};
use super::inspection::{Expected, Verdict, inspect};
use super::work::{MOST_WRITES, Work};
use super::{difference, refusal, repair};
use crate::auth_service::context::{AppliedState, WrittenKeys};
use crate::auth_service::render::Rendered;
use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::fingerprint::Fingerprint;
use crate::names::OPERATOR;

impl Work<'_> {
    /// Makes an object what was rendered; the object as it is then, if it was looked at.
    pub(super) async fn make(
        &mut self,
        rendered: Rendered,
    ) -> Result<Option<Arc<DynamicObject>>, kube::Error> {
        let api = self.api(rendered.kind);
        let seen = self.context.cache.get(rendered.kind, &self.service.namespace, &rendered.name);
        if seen.as_ref().is_some_and(|seen| self.is_known_to_be_right(&rendered, seen)) {
            return Ok(None);
        }
        let mut live = match seen {
            Some(seen) => Arc::new(seen.object()),
            // Strangers' objects do not have our label, so that the watches do not show them.
            None => match self.first(&api, &rendered).await? {
                Found::Made(object) | Found::There(object) => object,
                Found::Nothing => return Ok(None),
            },
        };
        // What has to be written because the rendered object is another one now is written at once.
        if difference::has_hash(&rendered, &live) && !self.may_repair(&rendered, &live) {
            self.contested.push((rendered.kind, rendered.name));
            return Ok(None);
        }
        for _ in 0..MOST_WRITES {
            let written = match self.inspect(&rendered, &live) {
                Verdict::NameConflict => {
                    self.name_conflicts.push((rendered.kind, rendered.name));
                    return Ok(None);
                }
                Verdict::Deleting => return Ok(Some(live)),
                Verdict::Correct => {
                    self.remember_correct(&rendered, &live);
                    return Ok(Some(live));
                }
                Verdict::RemoveForeignFields(fields) => {
                    repair::take_out(&api, &rendered.name, &live, fields).await
                }
                Verdict::Apply => self.apply_over(&api, &rendered, &live).await,
            };
            live = match written {
                // Nothing has changed although something was to: no further write would change that.
                Ok(object)
                    if object.metadata.resource_version == live.metadata.resource_version
                        && self.inspect(&rendered, &object) != Verdict::Correct =>
                {
                    self.refused.push(refusal::kept_as_it_is(rendered.kind, &rendered.name));
                    return Ok(None);
                }
                Ok(object) => Arc::new(object),
                // The object has changed since it was inspected.
                Err(kube::Error::Api(status)) if status.code == 409 && rendered.based_on.is_none() => {
                    let Some(found) = api.get_opt(&rendered.name).await? else { break };
                    Arc::new(found)
                }
                Err(error) => return Err(error),
            };
        }
        if self.inspect(&rendered, &live) == Verdict::Correct {
            self.remember_correct(&rendered, &live);
            return Ok(Some(live));
        }
        self.contested.push((rendered.kind, rendered.name));
        Ok(None)
    }

    fn inspect(&self, rendered: &Rendered, live: &DynamicObject) -> Verdict {
        let made = self.with_known(rendered, |known| known?.made);
        let owner = &self.service.owner;
        inspect(&Expected { rendered, made, owner_uid: &owner.uid, owner_name: &self.service.name }, live)
    }

    /// Whether the object needs no repair, or may be repaired now.
    fn may_repair(&self, rendered: &Rendered, live: &DynamicObject) -> bool {
        let verdict = self.inspect(rendered, live);
        if !matches!(verdict, Verdict::RemoveForeignFields(_) | Verdict::Apply) {
            return true;
        }
        self.context.with_memory(&self.service.owner.uid, |memory| {
            memory.repairs.may_repair(rendered.kind, &rendered.name, Instant::now())
        })
    }

    /// Applies what was rendered to the object that was inspected.
    async fn apply_over(
        &self,
        api: &Api<DynamicObject>,
        rendered: &Rendered,
        live: &DynamicObject,
    ) -> Result<DynamicObject, kube::Error> {
        if rendered.kind == Kind::Deployment {
            self.hand_over_replicas(api, &rendered.name).await?;
        }
        let result = self.patch(api, rendered, Target::Found(live.uid())).await;
        match result {
            // Lists whose elements are told apart by what somebody changed in them (a Service's ports) cannot
            // be set right by applying: the changed element is theirs and stays beside ours.
            Err(kube::Error::Api(status))
                if status.code == 422 && rendered.kind != Kind::Job && rendered.based_on.is_none() =>
            {
                repair::overwrite(api, rendered, live).await?;
                self.patch(api, rendered, Target::Found(live.uid())).await
            }
            result => result,
        }
    }

    /// Whether just this version of the object was found correct, compared with just this rendered.
    fn is_known_to_be_right(&self, rendered: &Rendered, seen: &CachedObject) -> bool {
        self.with_known(rendered, |known| {
            known.is_some_and(|known| known.right.is_some() && known.right.as_deref() == seen.version())
        })
    }

    fn with_known<T>(&self, rendered: &Rendered, work: impl FnOnce(Option<&AppliedState>) -> T) -> T {
        let Rendered { kind, name, hash, .. } = rendered;
        self.context.with_memory(&self.service.owner.uid, |memory| work(memory.known(*kind, name, hash)))
    }

    /// Remembers that an inspection found nothing to do in this version of the object.
    fn remember_correct(&self, rendered: &Rendered, inspected: &DynamicObject) {
        let made = self.with_known(rendered, |known| known?.made);
        self.learn(rendered, made, inspected.metadata.resource_version.as_deref());
    }

    fn learn(&self, rendered: &Rendered, made: Option<Fingerprint>, right: Option<&str>) {
        let Rendered { kind, name, hash, .. } = rendered;
        let known = AppliedState {
            kind: *kind,
            name: name.as_str().into(),
            rendered: hash.as_str().into(),
            made,
            right: right.map(Box::from),
        };
        self.context.with_memory(&self.service.owner.uid, |memory| memory.learn(known));
    }

    /// Applies what was rendered. The answer is still to be inspected.
    pub(super) async fn patch(
        &self,
        api: &Api<DynamicObject>,
        rendered: &Rendered,
        target: Target,
    ) -> Result<DynamicObject, kube::Error> {
        let Rendered { kind, name, value, based_on, .. } = rendered;
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
        // How the API server writes the rendered fields. An apply sets all of them in one step, so that this holds
        // whatever else is in the answer.
        self.learn(rendered, Some(difference::made_of(rendered, &object)), None);
        if let Some(version) = based_on {
            let written = WrittenKeys(Some((version.clone(), Arc::new(object.clone()))));
            self.context.with_memory(&self.service.owner.uid, |memory| memory.keys = written);
        }
        Ok(object)
    }
}

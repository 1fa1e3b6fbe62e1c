//! Applies one object.
//!
//! Every version of the object that the API server returns is inspected, including the responses to the operator's
//! own writes. Only a version in which the inspection found no difference is remembered as correct, and only a
//! remembered version lets a later reconcile skip the object.

use std::sync::Arc;
use std::time::Instant;

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::admission::Written;
use super::admitted::Admitted;
use super::creation::{self, Found, Target};
use super::inspection::{Expected, Verdict, inspect};
use super::work::{MOST_WRITES, Work};
use super::{difference, refusal, repair};
use crate::auth_service::context::{AppliedState, WrittenSecret};
use crate::auth_service::render::Rendered;
use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;
use crate::fingerprint::Fingerprint;
use crate::names::OPERATOR;

impl Work<'_> {
    /// Applies one object. Returns the live object, unless the cached version is known to be correct.
    pub(super) async fn apply_rendered(
        &mut self,
        rendered: Rendered,
    ) -> Result<Option<Arc<DynamicObject>>, kube::Error> {
        let api = self.api(rendered.kind);
        let seen = self.context.cache.get(rendered.kind, &self.service.namespace, &rendered.name);
        if seen.as_ref().is_some_and(|seen| self.is_known_to_be_correct(&rendered, seen)) {
            return Ok(None);
        }
        let mut live = match seen {
            Some(seen) => {
                self.context.with_memory(&self.service.owner.uid, |memory| {
                    memory.looked_for.take_if(|looked_for| **looked_for == *rendered.name);
                });
                Arc::new(seen.object())
            }
            // Objects of other owners do not have the operator's label and are not in the cache.
            None if !self.may_create().await? => return Ok(None),
            None => match self.create_if_absent(&api, &rendered).await? {
                Found::Created(object) => {
                    self.record_admission(&api, &rendered, object, Written::Created).await?
                }
                Found::Exists(object) => object,
                Found::Absent => return Ok(None),
            },
        };
        // A change of the rendered object is always written; only repairs are limited.
        if difference::has_hash(&rendered, &live) && !self.may_repair(&rendered, &live) {
            self.contested.push((rendered.kind, rendered.name));
            return Ok(None);
        }
        for _ in 0..MOST_WRITES {
            let (written, request) = match self.inspect(&rendered, &live) {
                Verdict::NameConflict => {
                    self.name_conflicts.push((rendered.kind, rendered.name));
                    return Ok(None);
                }
                Verdict::Deleting => return Ok(Some(live)),
                Verdict::Correct => {
                    self.remember_correct(&rendered, &live);
                    return Ok(Some(live));
                }
                _ if !self.may_write().await? => return Ok(None),
                Verdict::RemoveForeignFields(fields) => {
                    let removed = repair::remove_foreign_fields(&api, &rendered.name, &live, fields).await;
                    (removed, Written::Cleaned)
                }
                Verdict::Apply => (self.apply_over(&api, &rendered, &live).await, Written::Applied),
            };
            live = match written {
                Ok(object) => {
                    let unchanged = object.metadata.resource_version == live.metadata.resource_version;
                    let object = self.record_admission(&api, &rendered, Arc::new(object), request).await?;
                    // The write changed nothing, and another write would not either.
                    if unchanged && self.inspect(&rendered, &object) != Verdict::Correct {
                        self.refused.push(refusal::kept_as_it_is(rendered.kind, &rendered.name));
                        return Ok(None);
                    }
                    object
                }
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
        let applied_fingerprint = self.with_applied_state(rendered, |known| known?.applied_fingerprint);
        let owner = &self.service.owner;
        inspect(
            &Expected {
                rendered,
                applied_fingerprint,
                salt: &self.service.salt,
                owner_uid: &owner.uid,
                owner_name: &self.service.name,
            },
            live,
        )
    }

    /// Whether the object needs no repair, or the repair limit allows one now.
    fn may_repair(&self, rendered: &Rendered, live: &DynamicObject) -> bool {
        let verdict = self.inspect(rendered, live);
        if !matches!(verdict, Verdict::RemoveForeignFields(_) | Verdict::Apply) {
            return true;
        }
        self.context.with_memory(&self.service.owner.uid, |memory| {
            memory.repairs.may_repair(rendered.kind, &rendered.name, Instant::now())
        })
    }

    /// Applies the rendered object to the inspected object.
    async fn apply_over(
        &self,
        api: &Api<DynamicObject>,
        rendered: &Rendered,
        live: &DynamicObject,
    ) -> Result<DynamicObject, kube::Error> {
        if rendered.kind == Kind::Deployment {
            self.hand_over_replicas(api, &rendered.name).await?;
        }
        let value = Admitted::recorded(rendered, &self.service.salt, live).applicable(live);
        let result = self.patch(api, rendered, value.clone(), Target::Found(live.uid())).await;
        match result {
            // Server-side apply cannot repair lists whose keys another writer changed (such as the ports of a
            // Service): the changed element belongs to the other manager and remains.
            Err(kube::Error::Api(status))
                if status.code == 422 && rendered.kind != Kind::Job && rendered.based_on.is_none() =>
            {
                repair::overwrite(api, rendered, live).await?;
                self.patch(api, rendered, value, Target::Found(live.uid())).await
            }
            result => result,
        }
    }

    /// Whether this version of the object was found to match this rendering.
    fn is_known_to_be_correct(&self, rendered: &Rendered, seen: &CachedObject) -> bool {
        self.with_applied_state(rendered, |known| {
            known.is_some_and(|known| {
                known.correct_version.is_some() && known.correct_version.as_deref() == seen.version()
            })
        })
    }

    fn with_applied_state<T>(&self, rendered: &Rendered, work: impl FnOnce(Option<&AppliedState>) -> T) -> T {
        let Rendered { kind, name, hash, .. } = rendered;
        self.context
            .with_memory(&self.service.owner.uid, |memory| work(memory.applied_state(*kind, name, hash)))
    }

    /// Remembers that an inspection found this version of the object correct.
    fn remember_correct(&self, rendered: &Rendered, inspected: &DynamicObject) {
        let applied_fingerprint = self.with_applied_state(rendered, |known| known?.applied_fingerprint);
        self.remember(rendered, applied_fingerprint, inspected.metadata.resource_version.as_deref());
    }

    fn remember(
        &self,
        rendered: &Rendered,
        applied_fingerprint: Option<Fingerprint>,
        correct_version: Option<&str>,
    ) {
        let Rendered { kind, name, hash, .. } = rendered;
        let known = AppliedState {
            kind: *kind,
            name: name.as_str().into(),
            rendered: hash.as_str().into(),
            applied_fingerprint,
            correct_version: correct_version.map(Box::from),
        };
        self.context.with_memory(&self.service.owner.uid, |memory| memory.remember(known));
    }

    /// Applies the rendered object in the form of `value`. The caller inspects the response.
    pub(super) async fn patch(
        &self,
        api: &Api<DynamicObject>,
        rendered: &Rendered,
        mut value: Value,
        target: Target,
    ) -> Result<DynamicObject, kube::Error> {
        let Rendered { kind, name, based_on, .. } = rendered;
        let mut parameters = PatchParams::apply(OPERATOR);
        match target {
            Target::New => value["metadata"]["resourceVersion"] = Value::from(creation::NO_VERSION),
            Target::Found(uid) => {
                // The object is ours: take over fields that other managers set, and require the same uid.
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
        // The API server's form of the rendered fields. An apply sets all of them at once, so that this holds
        // regardless of the other fields in the response.
        self.remember(rendered, Some(difference::fingerprint_of(rendered, &object)), None);
        if let Some(version) = based_on {
            let written = WrittenSecret(Some((version.clone(), Arc::new(object.clone()))));
            let is_registry = *name == self.service.names.clients();
            self.context.with_memory(&self.service.owner.uid, |memory| {
                if is_registry {
                    memory.registry = written;
                } else {
                    memory.keys = written;
                }
            });
        }
        Ok(object)
    }
}

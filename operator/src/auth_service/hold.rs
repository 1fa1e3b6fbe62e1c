//! Decides whether the workloads of an AuthService wait for their turn ([`super::pace`]).

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use latchkey_crds::{AuthService, conditions};

use crate::auth_service::context::Context;
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::render::{Action, Objects, Schema};
use crate::auth_service::validate::Validated;
use crate::cluster::kinds::Kind;
use crate::names::RENDERED_ANNOTATION;

/// Whether the rollout of this AuthService has to wait.
pub(crate) fn holds(
    auth_service: &AuthService,
    service: &Validated,
    external_state: &ExternalState,
    objects: &Objects,
    context: &Context,
) -> bool {
    if service.spec.paused {
        return false;
    }
    let (uid, now) = (&*service.owner.uid, Timestamp::now());
    let started = context.with_memory(uid, |memory| memory.rollout_started);
    if started && !context.pace.runs(uid) {
        return false;
    }
    let pending = objects.actions().any(|action| is_pending(action, service, context));
    // Before the migration has succeeded, the Deployment is still the previous one.
    if !pending && objects.schema == Schema::Migrated && is_rolled_out(external_state) {
        context.pace.leave(uid, now);
    }
    let status = context.last_status(auth_service);
    let ready = status.conditions.iter().find(|condition| condition.type_ == conditions::READY);
    let ready = ready.is_some_and(|ready| ready.status == "True");
    let spec_changed = status.observed_generation != auth_service.metadata.generation;
    if !pending || started || spec_changed || !ready {
        context.pace.stop_waiting(uid, now);
    } else if !context.pace.take(uid, ObjectRef::new(&service.name).within(&service.namespace), now) {
        return true;
    }
    context.with_memory(uid, |memory| memory.rollout_started = true);
    false
}

/// Whether an action starts a migration or changes the pods of a workload.
pub(crate) fn is_pending(action: &Action, service: &Validated, context: &Context) -> bool {
    let Action::Apply(rendered) = action else { return false };
    let live = || context.cache.get(rendered.kind, &service.namespace, &rendered.name);
    match rendered.kind {
        // An existing Job is never changed.
        Kind::Job => live().is_none(),
        Kind::Deployment | Kind::StatefulSet => live()
            .is_some_and(|live| live.object().annotations().get(RENDERED_ANNOTATION) != Some(&rendered.hash)),
        _ => false,
    }
}

/// Whether the Deployment and the embedded stores run as their controllers want them.
fn is_rolled_out(external_state: &ExternalState) -> bool {
    let deployment = external_state.deployment.as_ref().is_none_or(|deployment| {
        let status = deployment.status.clone().unwrap_or_default();
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let numbers = [status.updated_replicas, status.replicas, status.ready_replicas];
        status.observed_generation >= deployment.metadata.generation
            && numbers.into_iter().all(|number| number.unwrap_or(0) == wanted)
    });
    deployment
        && external_state.stores.iter().all(|store| {
            let status = store.stateful_set.status.clone().unwrap_or_default();
            let wanted = store.stateful_set.spec.replicas.unwrap_or(1);
            let numbers = [status.updated_replicas, status.ready_replicas];
            status.observed_generation >= store.stateful_set.metadata.generation
                && numbers.into_iter().all(|number| number.unwrap_or(0) == wanted)
        })
}

//! Applies the rendered objects: writes the objects that differ, deletes those that are not needed any more, and does
//! not touch objects of other owners.
//!
//! Objects are compared with the cache, so that a steady state sends no requests. The cache may lag; preconditions
//! make that safe: updates and deletions carry the uid of the inspected object, removals of fields carry its resource
//! version as well, and the first write of an object fails if an object of that name exists (see `creation`). A
//! deletion, the creation of an object that vanished, and the first write for a spec require that the spec is the present
//! one (see `currency`).
//! `object` applies a single object.

mod additions;
mod admission;
mod admission_plugins;
mod admitted;
mod applied;
mod creation;
mod currency;
mod difference;
mod existing;
mod field_changes;
mod hint;
mod inspection;
mod object;
mod pause;
mod quantity;
mod refusal;
mod repair;
mod replicas;
mod volume;
mod work;

use kube::core::DynamicObject;

use crate::auth_service::context::Context;
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::render::{Objects, Phase};
use crate::auth_service::validate::Validated;
use crate::cluster::kinds::Kind;

use work::Work;

pub(crate) use applied::Applied;
pub(crate) use creation::NO_VERSION;
pub(crate) use pause::observe;
pub(crate) use work::ApplyError;

/// Applies the rendered objects, phase by phase.
///
/// # Errors
/// When the API server does not respond. Objects that it refuses permanently are part of the result.
pub(crate) async fn apply(
    service: &Validated,
    external_state: &ExternalState,
    objects: Objects,
    context: &Context,
) -> Result<Applied, ApplyError> {
    let mut work = Work {
        service,
        external_state,
        context,
        name_conflicts: Vec::new(),
        refused: Vec::new(),
        contested: Vec::new(),
        confirmed: false,
        outdated: false,
    };
    let mut may_run = false;
    let registry = service.names.clients();
    let mut has_registry = false;
    let mut deployment = external_state.deployment.clone();
    for (phase, actions) in objects.phases {
        if phase == Phase::Workloads && !may_run {
            continue;
        }
        if phase == Phase::Companions {
            work.protect_volume().await;
        }
        for action in actions {
            let is_deployment = action.target().0 == Kind::Deployment;
            let is_registry = action.target() == (Kind::Secret, &*registry);
            let obstacles = work.obstacles();
            let object = work.reconcile_object(action).await?;
            if is_registry {
                has_registry = work.obstacles() == obstacles;
            }
            if let Some(object) = object.filter(|_| is_deployment) {
                deployment = DynamicObject::clone(&object).try_parse().ok();
            }
        }
        if phase == Phase::Prerequisites {
            may_run = work.prerequisites_are_applied();
            if may_run {
                for hint in &objects.hints {
                    work.hint(hint).await;
                }
            }
        }
    }
    let Work { name_conflicts, refused, contested, .. } = work;
    let schema = objects.schema;
    Ok(Applied {
        deployment,
        schema,
        name_conflicts,
        refused,
        contested,
        pending: false,
        queued: None,
        has_registry,
    })
}

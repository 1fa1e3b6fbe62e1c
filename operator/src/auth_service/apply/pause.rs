//! The differences that exist while reconciling is paused.

use std::sync::Arc;

use serde_json::json;

use crate::auth_service::context::Context;
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::problem::Problem;
use crate::auth_service::render::{Action, Objects, Schema};
use crate::auth_service::validate::Validated;
use crate::cluster::cached_object::CachedObject;
use crate::cluster::kinds::Kind;

use super::applied::Applied;
use super::difference;

/// Compares the objects and writes nothing.
pub(crate) fn observe(
    service: &Validated,
    external_state: &ExternalState,
    objects: &Objects,
    context: &Context,
) -> Applied {
    let live = |kind: Kind, name: &str| context.cache.get(kind, &service.namespace, name);
    // A step of the key rotation that is due during the pause is not a difference from the spec.
    let jwt_keys = service.rotation.changed.then(|| service.names.jwt_keys());
    let mut actions = objects
        .actions()
        .filter(|action| action.target() != (Kind::Secret, jwt_keys.as_deref().unwrap_or("")));
    Applied {
        deployment: external_state.deployment.clone(),
        schema: match &objects.schema {
            Schema::Migrating | Schema::WaitingForDatabase => Schema::Blocked(Problem::new(
                "Paused",
                "The schema is not migrated while reconciling is paused: set spec.paused to false.",
            )),
            other => other.clone(),
        },
        name_conflicts: Vec::new(),
        refused: Vec::new(),
        contested: Vec::new(),
        queued: None,
        has_registry: false,
        pending: actions.any(|action| is_pending(action, &service.owner.uid, live)),
    }
}

/// Whether an object would be written or deleted. Manual changes to the object are not detected.
fn is_pending(action: &Action, owner: &str, live: impl Fn(Kind, &str) -> Option<Arc<CachedObject>>) -> bool {
    match action {
        // An existing Job is never changed: its pod template is immutable.
        Action::Apply(rendered) => live(rendered.kind, &rendered.name).is_none_or(|found| {
            rendered.kind != Kind::Job && !difference::has_hash(rendered, &found.object())
        }),
        Action::Create(_) => true,
        Action::Scale { name, replicas } => live(Kind::Deployment, name)
            .is_none_or(|found| found.object().data["spec"]["replicas"] != json!(replicas)),
        Action::Delete { kind, name } => {
            live(*kind, name).is_some_and(|found| found.is_controlled_by(owner) && !found.is_deleting())
        }
        Action::Keep { .. } | Action::Repair(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_number_of_replicas_is_pending() {
        let pending = |live: Option<i32>, replicas| {
            let live = live.map(|replicas| {
                let deployment = json!({"metadata": {"name": "demo"}, "spec": {"replicas": replicas}});
                Arc::new(CachedObject::new(Kind::Deployment, serde_json::from_value(deployment).unwrap()))
            });
            let action = Action::Scale { name: "demo".to_owned(), replicas };
            is_pending(&action, "1", |_, _| live.clone())
        };
        assert!(pending(None, 2) && pending(Some(1), 2));
        assert!(!pending(Some(2), 2));
    }
}

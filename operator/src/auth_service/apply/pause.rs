//! The differences that exist while reconciling is paused.

use kube::core::DynamicObject;

use crate::auth_service::context::Context;
use crate::auth_service::problem::Problem;
use crate::auth_service::render::{Action, Objects, Schema};
use crate::auth_service::validate::Validated;
use crate::cluster::kinds::Kind;

use super::applied::Applied;
use super::difference;

/// Compares the objects and writes nothing.
pub fn observe(service: &Validated, objects: &Objects, context: &Context) -> Applied {
    let live =
        |kind: Kind, name: &str| context.cache.get(kind, &service.namespace, name).map(|kept| kept.object());
    let serving = [
        &objects.settings,
        &objects.service,
        &objects.postgres,
        &objects.redis,
        &objects.migration,
        &objects.deployment,
    ];
    Applied {
        deployment: service.deployment.clone(),
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
        pending: serving.into_iter().any(|wanted| is_pending(wanted, live)),
    }
}

/// Whether an object would be written. Manual changes to the object are not detected.
fn is_pending(wanted: &Action, live: impl Fn(Kind, &str) -> Option<DynamicObject>) -> bool {
    match wanted {
        Action::Apply(rendered) => {
            live(rendered.kind, &rendered.name).is_none_or(|object| !difference::has_hash(rendered, &object))
        }
        Action::Create(_) => true,
        Action::Scale { name, .. } => live(Kind::Deployment, name).is_none(),
        Action::Keep { .. } | Action::Delete { .. } => false,
    }
}

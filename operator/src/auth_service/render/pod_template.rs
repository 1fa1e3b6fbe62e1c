//! Merges the checked override into the pod template, by the merge rules of Kubernetes: objects are merged, elements of
//! named lists are merged by their names, and other lists are replaced.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};

use super::pod;
use crate::names::SERVER_CONTAINER;

/// The template with the override.
pub(super) fn with_override(
    mut template: PodTemplateSpec,
    given: Option<&PodTemplateSpec>,
) -> PodTemplateSpec {
    let Some(given) = given else { return template };
    template.merge_from(given.clone());
    if let Some(spec) = &mut template.spec {
        let additional = spec.containers.iter_mut().filter(|container| container.name != SERVER_CONTAINER);
        additional.chain(spec.init_containers.iter_mut().flatten()).for_each(restrict);
    }
    template
}

/// What an additional container does not set itself keeps the pod within Pod Security `restricted`.
fn restrict(container: &mut Container) {
    let mut security = pod::container_security();
    security.merge_from(container.security_context.take().unwrap_or_default());
    container.security_context = Some(security);
}

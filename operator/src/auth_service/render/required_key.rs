//! The key that the server's pods must have loaded to become ready. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::auth_service::dereference::{ExternalState, is_ready};
use crate::auth_service::server_reports::Fault;
use crate::auth_service::validate::Validated;
use crate::names::REQUIRED_KEY_ANNOTATION;
use crate::signing_keys::{RequiredKey, decide_required_key};

/// The requirement for the next pods.
pub(super) fn build(
    service: &Validated,
    external_state: &ExternalState,
    now: Timestamp,
) -> Option<RequiredKey> {
    let keys = service.keys.key_set()?;
    let denied = external_state.answers.iter().any(|answer| {
        let of_pod = |pod: &&k8s_openapi::api::core::v1::Pod| pod.name_any() == answer.pod;
        answer.fault == Some(Fault::Denied) && external_state.pods.iter().find(of_pod).is_some_and(is_ready)
    });
    let current = external_state.deployment.as_ref().and_then(current);
    decide_required_key(keys.ledger(), denied, current, now.as_second())
}

/// The requirement of the existing pods.
fn current(deployment: &Deployment) -> Option<RequiredKey> {
    let annotations = deployment.spec.template.metadata.as_ref()?.annotations.as_ref()?;
    RequiredKey::parse(annotations.get(REQUIRED_KEY_ANNOTATION)?)
}

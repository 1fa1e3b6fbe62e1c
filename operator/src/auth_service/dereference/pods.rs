//! The pods of one component, from the cache.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use latchkey_crds::AuthService;

use crate::auth_service::context::Context;
use crate::cluster::kinds::Kind;
use crate::names::{Component, Names};

use super::error::DereferenceError;
use super::lookup::parse;

/// The maximum number of running pods of one component: twice the maximum number of replicas, for a rollout.
const MOST_PODS: usize = 400;
/// The maximum number of terminated pods that are considered.
const MOST_ENDED_PODS: usize = 50;

/// The pods of a component, by name.
///
/// # Errors
/// When a pod cannot be read: it may be serving, and must not count as missing.
pub(crate) fn pods(
    auth_service: &AuthService,
    context: &Context,
    component: Component,
) -> Result<Vec<Pod>, DereferenceError> {
    let (namespace, name) = (auth_service.namespace().unwrap_or_default(), auth_service.name_any());
    let selector = Names::new(&name).selector(component);
    let mut found = context.cache.group(Kind::Pod, &namespace, &name);
    found.retain(|pod| pod.component() == Some(component.as_str()));
    // Any pod in the namespace can have these labels. A node that runs out of a resource leaves many terminated pods.
    let (ended, running): (Vec<_>, Vec<_>) = found.iter().partition(|pod| pod.has_ended());
    if running.len() > MOST_PODS {
        let problem = format!("all its pods: more than {MOST_PODS} have its labels");
        return Err(DereferenceError::Unreadable(problem.into_boxed_str()));
    }
    let counted = running.into_iter().chain(ended.into_iter().take(MOST_ENDED_PODS));
    let pods: Result<Vec<Pod>, _> = counted.map(|pod| parse(Kind::Pod, pod)).collect();
    let mut pods = pods?;
    pods.retain(|pod| selector.iter().all(|(key, value)| pod.labels().get(key) == Some(value)));
    pods.sort_by_key(ResourceExt::name_any);
    Ok(pods)
}

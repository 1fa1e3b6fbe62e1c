//! The pods of an AuthService, and what each waits for.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;

use crate::cli::Component;

const INSTANCE: &str = "app.kubernetes.io/instance";
const COMPONENT: &str = "app.kubernetes.io/component";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The name of the container in a server pod.
pub const SERVER_CONTAINER: &str = "server";

/// The selector of the objects of an AuthService.
pub fn selector(name: &str) -> String {
    format!("{INSTANCE}={name},{MANAGED_BY}=latchkey-operator")
}

/// The selector of the pods of a component.
pub fn selector_of(name: &str, component: Component) -> String {
    let value = match component {
        Component::All => return selector(name),
        Component::Server => "server",
        Component::Migration => "migration",
        Component::Postgres => "postgres",
        Component::Redis => "redis",
    };
    format!("{},{COMPONENT}={value}", selector(name))
}

/// The component of a pod.
pub fn component(pod: &Pod) -> &str {
    pod.labels().get(COMPONENT).map_or("", String::as_str)
}

/// Whether the pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|(status, _)| status == "True")
        && pod.metadata.deletion_timestamp.is_none()
}

/// The phase of the pod.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// The number of restarts of its containers.
pub fn restarts(pod: &Pod) -> i32 {
    containers(pod).map(|container| container.restart_count).sum()
}

/// The status of one of its containers.
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    containers(pod).find(|container| container.name == name)
}

/// What the pod waits for, in the words of the scheduler and the kubelet; `None` if it is ready or complete.
pub fn waits_for(pod: &Pod) -> Option<String> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Some("it is being deleted".to_owned());
    }
    if is_ready(pod) || phase(pod) == "Succeeded" {
        return None;
    }
    if let Some((status, message)) = condition(pod, "PodScheduled")
        && status == "False"
    {
        return Some(format!("a node: {message}"));
    }
    let waiting = containers(pod).find_map(describe_container);
    if waiting.is_some() {
        return waiting;
    }
    let status = pod.status.as_ref();
    if let Some(message) = status.and_then(|status| status.message.clone().or_else(|| status.reason.clone()))
    {
        return Some(message);
    }
    match phase(pod) {
        "Running" => Some("its readiness probe".to_owned()),
        "Failed" => Some("nothing: it failed".to_owned()),
        _ if condition(pod, "PodScheduled").is_none() => Some("the scheduler".to_owned()),
        _ => Some("the kubelet to start it".to_owned()),
    }
}

fn describe_container(container: &ContainerStatus) -> Option<String> {
    let ContainerState { waiting, terminated, .. } = container.state.clone().unwrap_or_default();
    let name = &container.name;
    if let Some(waiting) = waiting {
        let words: Vec<String> = [waiting.reason, waiting.message].into_iter().flatten().collect();
        let before = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let before = before
            .and_then(|ended| ended.message.as_deref())
            .map(|message| format!("; it ended with: {message}"));
        return Some(format!("container {name}: {}{}", words.join(": "), before.unwrap_or_default()));
    }
    let ended = terminated.filter(|ended| ended.exit_code != 0)?;
    let words = ended.message.or(ended.reason).unwrap_or_default();
    Some(format!("container {name} ended with status {}: {words}", ended.exit_code))
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let initial = status.and_then(|status| status.init_container_statuses.as_ref());
    let normal = status.and_then(|status| status.container_statuses.as_ref());
    initial.into_iter().flatten().chain(normal.into_iter().flatten())
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<(&'a str, &'a str)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == kind)?;
    let message = found.message.as_deref().or(found.reason.as_deref()).unwrap_or_default();
    Some((found.status.as_str(), message))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).expect("a pod")
    }

    fn container(state: &Value, last: &Value) -> Value {
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}], "containerStatuses": [{
            "name": "server", "image": "", "imageID": "", "ready": false, "restartCount": 2, "state": state, "lastState": last,
        }]})
    }

    #[test]
    fn a_pod_waits_for_what_the_scheduler_and_the_kubelet_say() {
        let unscheduled =
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]});
        let pulling = container(
            &json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}),
            &json!({}),
        );
        let crashed = container(
            &json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            &json!({"terminated": {"exitCode": 1, "message": "DATABASE_URL is wrong"}}),
        );
        let failed = container(&json!({"terminated": {"exitCode": 3, "reason": "Error"}}), &json!({}));
        for (status, expected) in [
            (unscheduled, Some("a node: 0/1 nodes")),
            (pulling, Some("container server: ImagePullBackOff: no such tag")),
            (crashed, Some("container server: CrashLoopBackOff; it ended with: DATABASE_URL is wrong")),
            (failed, Some("container server ended with status 3: Error")),
            (
                json!({"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}]}),
                Some("its readiness probe"),
            ),
            (json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), None),
            (json!({"phase": "Succeeded"}), None),
            (json!({}), Some("the scheduler")),
        ] {
            assert_eq!(waits_for(&pod(&status)).as_deref(), expected, "{status}");
        }
    }
}

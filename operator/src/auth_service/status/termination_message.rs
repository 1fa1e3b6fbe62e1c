//! The termination message of failed pods. The kubelet copies the end of a failed container's log into the pod status
//! (`FallbackToLogsOnError`), so that the operator needs no permission to read logs. Pure.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;

/// The maximum length of a line; longer lines are truncated.
const LONGEST: usize = 500;

/// The last log line of the newest failed pod.
pub(super) fn termination_message(pods: &[Pod]) -> Option<String> {
    let failed = pods.iter().filter_map(|pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let ended = statuses.iter().find_map(|container| container.state.as_ref()?.terminated.as_ref())?;
        let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
        (ended.exit_code != 0).then_some((created, ended))
    });
    let (_, ended) = failed.max_by_key(|(created, _)| *created)?;
    last_line(ended)
}

/// Why the newest failed pod ended, if none of its containers says so: it was evicted, for example.
pub(super) fn termination_message_of_pods(pods: &[Pod]) -> Option<String> {
    let failed = pods.iter().filter_map(|pod| {
        let status = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Failed"))?;
        let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
        let texts: Vec<&str> =
            [&status.reason, &status.message].into_iter().flatten().map(String::as_str).collect();
        (!texts.is_empty()).then(|| (created, texts.join(": ")))
    });
    let (_, text) = failed.max_by_key(|(created, _)| *created)?;
    Some(text.chars().filter(|c| !c.is_control()).take(LONGEST).collect())
}

/// The last log line of a container's failed run, also if the container was restarted since.
pub(super) fn termination_message_before_restart(container: &ContainerStatus) -> Option<String> {
    let states = [container.state.as_ref(), container.last_state.as_ref()];
    let ended = states.into_iter().flatten().find_map(|state| state.terminated.as_ref())?;
    last_line(ended).filter(|_| ended.exit_code != 0)
}

/// The sentences with which a program of Latchkey ended, one for each fault; else the last line.
fn last_line(ended: &ContainerStateTerminated) -> Option<String> {
    let lines = || ended.message.as_deref().unwrap_or_default().lines().map(str::trim).rev();
    let mut sentences: Vec<_> = lines()
        .skip_while(|line| line.is_empty())
        .map_while(|line| line.strip_prefix("latchkey-server: "))
        .collect();
    sentences.reverse();
    let text = if sentences.is_empty() {
        lines().find(|line| !line.is_empty())?.to_owned()
    } else {
        sentences.join("; ")
    };
    Some(text.chars().filter(|c| !c.is_control()).take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(created: &str, exit_code: i32, message: &str) -> Pod {
        let terminated = json!({"exitCode": exit_code, "message": message});
        serde_json::from_value(json!({
            "metadata": {"name": "m", "creationTimestamp": created},
            "status": {"containerStatuses": [{"name": "migrate", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": terminated}}]},
        }))
        .unwrap()
    }

    #[test]
    fn the_last_line_of_the_youngest_failure_counts() {
        let pods = [
            pod("2026-01-01T00:00:02Z", 1, "first\nlatchkey-server: the second try\n\n"),
            pod("2026-01-01T00:00:01Z", 1, "the first try"),
            pod("2026-01-01T00:00:03Z", 0, "this one succeeded"),
        ];
        assert_eq!(termination_message(&pods).as_deref(), Some("the second try"));
        assert_eq!(termination_message(&[]), None);
        assert_eq!(termination_message(&[pod("2026-01-01T00:00:01Z", 1, " \n")]), None);
        let faults = "a log line\nlatchkey-server: one fault\nlatchkey-server: another\n";
        let faults = pod("2026-01-01T00:00:01Z", 1, faults);
        assert_eq!(termination_message(&[faults]).as_deref(), Some("one fault; another"));
        let long = "x".repeat(3000);
        assert_eq!(termination_message(&[pod("2026-01-01T00:00:01Z", 1, &long)]).unwrap().len(), LONGEST);
    }
}

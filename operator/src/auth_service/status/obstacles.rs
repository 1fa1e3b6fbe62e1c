//! Why the pods of a workload cannot be created or started, in the words of the controller, the scheduler or the
//! kubelet. Pure.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::auth_service::warnings::{
    NO_POD_PATIENCE, Store, TERMINATION_PATIENCE, Warning, Warnings, condition, created, late,
    replica_failure, scheduled, without_pod_since,
};
use crate::names::Component;

use super::facts::Facts;
use super::termination_message::termination_message_before_restart;

/// How long an obstacle that only a user can remove may exist before the service counts as stalled. kstatus waits as
/// long for a pod that cannot be scheduled.
const REFUSED_PATIENCE: SignedDuration = SignedDuration::from_secs(15);
/// The same for an obstacle that can pass: another node may start, a registry may respond again.
const PASSING_PATIENCE: SignedDuration = SignedDuration::from_mins(1);
/// How long a pod of a store may take to become ready; the first start initializes the database.
const READY_PATIENCE: SignedDuration = SignedDuration::from_mins(3);
/// How long a pod may be pending although no component reports why.
const PENDING_PATIENCE: SignedDuration = SignedDuration::from_mins(1);
/// Waiting reasons of every starting container.
const ORDINARY: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// Waiting reasons of containers that start after a retry at best.
const RETRIED: [&str; 5] = [
    "CrashLoopBackOff",
    "ErrImagePull",
    "ImagePullBackOff",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
/// The maximum length of the words of another program, in characters.
const LONGEST: usize = 500;

/// The step that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The controller cannot create a pod.
    Creation,
    /// A pod exists, but cannot be scheduled, start or terminate.
    Start,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub step: Step,
    /// One or more sentences.
    pub message: String,
    /// When the service counts as stalled.
    stalls_at: Option<Timestamp>,
    /// Whether it can pass without a user.
    passes: bool,
}

impl Obstacle {
    fn new(step: Step, message: String, since: Option<Timestamp>, patience: SignedDuration) -> Self {
        let stalls_at = since.and_then(|since| since.checked_add(patience).ok());
        Self { step, message, stalls_at, passes: patience == PASSING_PATIENCE }
    }

    /// Whether it can pass without a user: another node may start, for example.
    pub(super) fn passes(&self) -> bool {
        self.passes
    }

    /// Whether it has lasted so long that a user has to act.
    pub(super) fn stalls(&self, now: Timestamp) -> bool {
        self.stalls_at.is_some_and(|at| now >= at)
    }

    /// The time until it stalls the service, if it does not yet.
    pub(super) fn stalls_in(&self, now: Timestamp) -> Option<Duration> {
        let left = self.stalls_at?.duration_since(now);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }
}

/// The time until the next obstacle of any workload stalls the service.
pub(super) fn next_stall(facts: &Facts<'_>) -> Option<Duration> {
    let state = facts.external_state;
    let deployment = facts.applied.deployment.as_ref();
    let of_pods = state.pods.iter().filter_map(|pod| of_pod(pod, &state.warnings, facts.now));
    let of_stores = [Component::Postgres, Component::Redis];
    let of_stores = of_stores.into_iter().filter_map(|component| of_embedded(facts, component));
    let of_deployment = deployment.and_then(|deployment| of_deployment(deployment, &state.warnings));
    let all = of_deployment.into_iter().chain(of_pods).chain(of_stores);
    all.chain(of_migration(facts)).filter_map(|obstacle| obstacle.stalls_in(facts.now)).min()
}

/// An obstacle of an embedded store.
pub(super) fn of_embedded(facts: &Facts<'_>, component: Component) -> Option<Obstacle> {
    let state = facts.external_state;
    let store = state.stores.iter().find(|store| store.component == component)?;
    of_store(store, &state.warnings, facts.now)
}

/// An obstacle of the migration: a pod that does not start, or a Job without a pod. An attempt that failed is no
/// obstacle for the next one.
pub(super) fn of_migration(facts: &Facts<'_>) -> Option<Obstacle> {
    let state = facts.external_state;
    let has_ended = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let mut all = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let failed = |container: &ContainerStatus| {
            container.state.as_ref().is_some_and(|state| state.terminated.is_some())
        };
        matches!(phase, Some("Failed" | "Succeeded")) || all.any(failed)
    };
    let mut started = state.migration_pods.iter().filter(|pod| !has_ended(pod));
    let of_pods = started
        .find_map(|pod| of_pod(pod, &state.warnings, facts.now).or_else(|| pending_for_long(pod, facts.now)));
    let mut jobs = state.jobs.iter();
    of_pods.or_else(|| jobs.find_map(|job| of_job(job, &state.warnings, facts.now)))
}

/// An obstacle that the Deployment's controller reports: a quota, a missing priority class, or admission. The message
/// of its condition stays while the reason changes; a newer event has the current one.
pub(super) fn of_deployment(deployment: &Deployment, warnings: &Warnings) -> Option<Obstacle> {
    let failure = replica_failure(deployment)?;
    let since = failure.last_transition_time.as_ref().map(|time| time.0);
    let warning = warnings.newest.get(deployment.metadata.uid.as_deref().unwrap_or_default());
    let why = warning.map(|warning| warning.note.as_str()).or(failure.message.as_deref())?;
    let message = format!("No pod can be created: {}.", words(why));
    Some(Obstacle::new(Step::Creation, message, since, REFUSED_PATIENCE))
}

/// An obstacle of a migration Job that has no pod. Only its events contain the reason.
fn of_job(job: &Job, warnings: &Warnings, now: Timestamp) -> Option<Obstacle> {
    let since = without_pod_since(job)?;
    if now.duration_since(since) < NO_POD_PATIENCE {
        return None;
    }
    let warning = warnings.newest.get(job.metadata.uid.as_deref().unwrap_or_default());
    Some(no_pod("Job", &job.name_any(), warning, since))
}

/// An obstacle of an embedded store.
fn of_store(store: &Store, warnings: &Warnings, now: Timestamp) -> Option<Obstacle> {
    let uid = store.stateful_set.metadata.uid.as_deref().unwrap_or_default();
    if let Some(since) = warnings.without_pod.get(uid) {
        let warning = warnings.newest.get(uid);
        let late = now.duration_since(*since) >= NO_POD_PATIENCE;
        return late.then(|| no_pod("StatefulSet", &store.stateful_set.name_any(), warning, *since));
    }
    store.pods.iter().find_map(|pod| {
        of_pod(pod, warnings, now)
            .or_else(|| pending_for_long(pod, now))
            .or_else(|| unready_for_long(pod, now))
    })
}

/// A pod of which neither the scheduler nor the kubelet says anything.
fn pending_for_long(pod: &Pod, now: Timestamp) -> Option<Obstacle> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let since =
        created(pod).filter(|since| phase == "Pending" && now.duration_since(*since) >= PENDING_PATIENCE)?;
    let name = pod.name_any();
    let message = format!(
        "Pod {name} has been pending for more than a minute, and no component reports why (kubectl describe pod {name})."
    );
    Some(Obstacle::new(Step::Start, message, Some(since), PASSING_PATIENCE))
}

/// A pod that runs and does not become ready.
fn unready_for_long(pod: &Pod, now: Timestamp) -> Option<Obstacle> {
    let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    let ready = condition(pod, "Ready")?;
    let since = ready.last_transition_time.as_ref().map(|time| time.0)?;
    let late = now.duration_since(since) >= READY_PATIENCE;
    if !running || ready.status == "True" || pod.metadata.deletion_timestamp.is_some() || !late {
        return None;
    }
    let name = pod.name_any();
    let message = format!(
        "Pod {name} runs, but has not been ready for more than three minutes: check its log (kubectl logs {name})."
    );
    Some(Obstacle::new(Step::Start, message, Some(since), PASSING_PATIENCE))
}

fn no_pod(kind: &str, name: &str, warning: Option<&Warning>, since: Timestamp) -> Obstacle {
    let describe = format!("kubectl describe {} {name}", kind.to_lowercase());
    let message = match warning {
        Some(warning) => {
            format!("The {kind} {name} cannot create a pod: {} ({describe}).", words(&warning.note))
        }
        None => {
            format!("The {kind} {name} cannot create a pod: run {describe} and resolve the reported problem.")
        }
    };
    Obstacle::new(Step::Creation, message, Some(since), REFUSED_PATIENCE)
}

/// Why a pod is not scheduled, has not started, or does not terminate.
pub(super) fn of_pod(pod: &Pod, warnings: &Warnings, now: Timestamp) -> Option<Obstacle> {
    let name = pod.name_any();
    let start = |message, since, patience| Some(Obstacle::new(Step::Start, message, since, patience));
    if let Some(deadline) = &pod.metadata.deletion_timestamp {
        // The API server sets it to the end of the grace period.
        if now.duration_since(deadline.0) < TERMINATION_PATIENCE {
            return None;
        }
        let cause = condition(pod, "DisruptionTarget").and_then(|found| found.message.as_deref());
        let cause = cause.map(|cause| format!(" ({})", words(cause))).unwrap_or_default();
        let message = format!(
            "Pod {name} does not terminate{cause}: check its node and its finalizers (kubectl describe pod {name})."
        );
        return start(message, Some(deadline.0), REFUSED_PATIENCE);
    }
    if let Some(found) = condition(pod, "PodScheduled").filter(|found| found.status == "False") {
        let why = found.message.as_deref().or(found.reason.as_deref())?;
        let since = found.last_transition_time.as_ref().map_or(created(pod), |time| Some(time.0));
        return start(format!("Pod {name} is not scheduled: {}", bounded(why)), since, PASSING_PATIENCE);
    }
    let since = scheduled(pod);
    if let Some((message, retried)) =
        containers(pod).find_map(|(label, container)| of_container(&label, container))
    {
        return start(message, since, if retried { PASSING_PATIENCE } else { REFUSED_PATIENCE });
    }
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() == Some("Failed") {
        let message = [&status.reason, &status.message].map(|text| text.as_deref().map(bounded));
        let message: Vec<String> = message.into_iter().flatten().collect();
        let message = format!("Pod {name} failed: {}", message.join(": "));
        return status.reason.is_some().then(|| start(message, since, PASSING_PATIENCE))?;
    }
    let warning = warnings.newest.get(pod.metadata.uid.as_deref().unwrap_or_default())?;
    let message =
        format!("Pod {name} has not started: {}: {}.", bounded(&warning.reason), words(&warning.note));
    late(pod, now).then(|| start(message, since, PASSING_PATIENCE))?
}

/// The init containers, then the others, each as the subject of a sentence.
fn containers(pod: &Pod) -> impl Iterator<Item = (String, &ContainerStatus)> {
    let name = pod.name_any();
    let status = pod.status.as_ref();
    let first = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let others = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let only = others.len() == 1;
    let of_init = name.clone();
    let first = first
        .iter()
        .map(move |container| (format!("The init container {} of pod {of_init}", container.name), container));
    let others = others.iter().map(move |container| {
        let label =
            if only { format!("Pod {name}") } else { format!("Container {} of pod {name}", container.name) };
        (label, container)
    });
    first.chain(others)
}

/// Why a container does not run, and whether the kubelet may succeed later without any change.
fn of_container(label: &str, container: &ContainerStatus) -> Option<(String, bool)> {
    let state = container.state.as_ref()?;
    let ended = [Some(state), container.last_state.as_ref()];
    let ended = ended.into_iter().flatten().find_map(|state| state.terminated.as_ref());
    let exit = ended.filter(|ended| ended.exit_code != 0).map(|ended| {
        let reason =
            ended.reason.as_deref().map(|reason| format!(", {}", bounded(reason))).unwrap_or_default();
        format!(" The last run ended with exit code {}{reason}.", ended.exit_code)
    });
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().filter(|reason| !ORDINARY.contains(reason))?;
        if reason == "CrashLoopBackOff"
            && let Some(line) = termination_message_before_restart(container)
        {
            return Some((format!("{label} terminated with an error: {line}"), true));
        }
        let message = waiting.message.as_deref().map(|text| format!(": {}", words(text))).unwrap_or_default();
        let exit = exit.filter(|_| reason == "CrashLoopBackOff").unwrap_or_default();
        let message = format!("{label} is waiting: {}{message}.{exit}", bounded(reason));
        return Some((message, RETRIED.contains(&reason)));
    }
    let ended = state.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    let line = termination_message_before_restart(container).or_else(|| ended.reason.as_deref().map(bounded));
    let line = line.unwrap_or_else(|| format!("exit code {}", ended.exit_code));
    Some((format!("{label} terminated with an error: {line}"), true))
}

/// The words of another program as part of a sentence.
fn words(text: &str) -> String {
    bounded(text).trim_end_matches('.').to_owned()
}

fn bounded(text: &str) -> String {
    text.trim().chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}

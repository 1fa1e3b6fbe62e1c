//! What controllers and kubelets report only in events: why a workload has no pod, and why a pod has not started. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::names::Component;

/// How long a workload may have no pod before this is reported: its controller retries temporary failures, such as a
/// ServiceAccount that admission does not know yet.
pub(crate) const NO_POD_PATIENCE: SignedDuration = SignedDuration::from_secs(5);
/// How long a scheduled pod may take to start before its events are read.
const START_PATIENCE: SignedDuration = SignedDuration::from_secs(10);
/// How long a pod may exist after the end of its grace period.
pub(crate) const TERMINATION_PATIENCE: SignedDuration = SignedDuration::from_secs(15);

/// The newest warning about an object in the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    pub reason: String,
    pub note: String,
}

/// What controllers and kubelets report only in events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warnings {
    /// By the uid of the object.
    pub newest: BTreeMap<String, Warning>,
    /// Since when each StatefulSet has had no pod, by uid.
    pub without_pod: BTreeMap<String, Timestamp>,
    /// The time until an object has had no pod, or a pod has not started or terminated, for too long. No watch
    /// announces that.
    pub again: Option<Duration>,
}

/// An embedded store: its StatefulSet and pods.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub component: Component,
    pub stateful_set: StatefulSet,
    /// The pods that the StatefulSet controls.
    pub pods: Vec<Pod>,
}

/// The condition of a Deployment whose pods cannot be created.
pub(crate) fn replica_failure(deployment: &Deployment) -> Option<&DeploymentCondition> {
    deployment.status.as_ref()?.conditions.iter().flatten().find(|found| {
        found.type_.as_deref() == Some("ReplicaFailure") && found.status.as_deref() == Some("True")
    })
}

/// The time since which a Job has had no pod.
pub(crate) fn without_pod_since(job: &Job) -> Option<Timestamp> {
    let status = job.status.as_ref()?;
    let none = |count: Option<i32>| count.unwrap_or_default() == 0;
    // A terminated pod that is not counted yet.
    let uncounted = status.uncounted_terminated_pods.as_ref();
    let ended = uncounted.is_some_and(|pods| {
        [&pods.failed, &pods.succeeded].into_iter().flatten().any(|uids| !uids.is_empty())
    });
    let nowhere =
        !ended && [status.active, status.failed, status.succeeded, status.terminating].into_iter().all(none);
    status.start_time.as_ref().filter(|_| nowhere).map(|time| time.0)
}

/// Whether a scheduled pod takes long to start. Only its events contain the reason, such as a volume that cannot be
/// mounted.
pub(crate) fn late(pod: &Pod, now: Timestamp) -> bool {
    starts_late_at(pod).is_some_and(|at| now >= at)
}

fn starts_late_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let pending = status.phase.as_deref().unwrap_or("Pending") == "Pending";
    let is_scheduled = condition(pod, "PodScheduled").is_some_and(|found| found.status == "True");
    let starting = pending && is_scheduled && pod.metadata.deletion_timestamp.is_none();
    scheduled(pod).filter(|_| starting).and_then(|since| since.checked_add(START_PATIENCE).ok())
}

/// The next time at which the age of a pod alone becomes an obstacle.
pub(crate) fn next_late(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let overdue = pod.metadata.deletion_timestamp.as_ref();
    let overdue = overdue.and_then(|deadline| deadline.0.checked_add(TERMINATION_PATIENCE).ok());
    let times = [overdue, starts_late_at(pod)].into_iter().flatten().filter(|at| *at > now);
    times.min().and_then(|at| Duration::try_from(at.duration_since(now)).ok())
}

pub(crate) fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

pub(crate) fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

pub(crate) fn scheduled(pod: &Pod) -> Option<Timestamp> {
    let found = condition(pod, "PodScheduled").filter(|found| found.status == "True");
    found.and_then(|found| found.last_transition_time.as_ref()).map_or(created(pod), |time| Some(time.0))
}

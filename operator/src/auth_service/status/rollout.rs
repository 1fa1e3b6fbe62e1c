//! The conditions `Ready` and `Progressing`. Pure.

use k8s_openapi::api::apps::v1::DeploymentStatus;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use latchkey_crds::conditions as types;

use crate::auth_service::problem::Problem;
use crate::auth_service::render::Schema;
use crate::signing_keys::KeyMaterial;

use super::dependencies::{LOGIN_FAILS, decide_login};
use super::facts::{ConditionStatus, Facts, Stated, Verdict, keys_lost, migration_failed, state};
use super::name_conflict::name_conflict;
use super::termination_message::{termination_message, termination_message_before_restart};

pub(super) fn decide_ready(facts: &Facts<'_>) -> (Stated, Stated, Verdict) {
    if let Some(Problem { reason, message }) = blocking_problem(facts) {
        return (
            state(types::READY, ConditionStatus::False, reason, message),
            state(
                types::PROGRESSING,
                ConditionStatus::False,
                "Blocked",
                "Reconciling is blocked; the condition Ready describes the problem.",
            ),
            Verdict::Blocked,
        );
    }
    let waiting = match &facts.applied.schema {
        Schema::WaitingForDatabase => Some((
            "WaitingForDatabase",
            "The embedded PostgreSQL is starting; no action is needed.".to_owned(),
        )),
        Schema::Migrating => Some(migrating(facts)),
        Schema::Migrated | Schema::Failed(_) | Schema::Blocked(_) => None,
    };
    if let Some((reason, message)) = waiting {
        return (
            state(types::READY, ConditionStatus::False, reason, message.clone()),
            state(types::PROGRESSING, ConditionStatus::True, reason, message),
            Verdict::InProgress,
        );
    }
    match rollout(facts) {
        Rollout::Complete if wanted_replicas(facts) == 0 => (
            state(
                types::READY,
                ConditionStatus::False,
                "ScaledToZero",
                if facts.service.spec.replicas == 0 {
                    "The service is scaled to zero: increase spec.replicas to start it.".to_owned()
                } else {
                    format!(
                        "The service is scaled to zero: kubectl scale deployment {} --replicas=1 lets the autoscaler continue.",
                        facts.service.name
                    )
                },
            ),
            state(types::PROGRESSING, ConditionStatus::False, "Settled", "The cluster matches the spec."),
            Verdict::Settled,
        ),
        Rollout::Complete if decide_login(facts).reason == LOGIN_FAILS => (
            state(types::READY, ConditionStatus::False, LOGIN_FAILS, decide_login(facts).message),
            state(types::PROGRESSING, ConditionStatus::False, "Settled", "The cluster matches the spec."),
            Verdict::Blocked,
        ),
        Rollout::Complete => (
            state(
                types::READY,
                ConditionStatus::True,
                "Available",
                format!("{} of {0} replicas are ready.", wanted_replicas(facts)),
            ),
            state(types::PROGRESSING, ConditionStatus::False, "Settled", "The cluster matches the spec."),
            Verdict::Settled,
        ),
        Rollout::Stuck(message) => (
            state(types::READY, ConditionStatus::False, "RolloutStuck", message.clone()),
            state(types::PROGRESSING, ConditionStatus::False, "Blocked", message),
            Verdict::Blocked,
        ),
        Rollout::InProgress { replaces, message } => (
            state(types::READY, ConditionStatus::False, "ReplicasNotReady", message.clone()),
            // Replicas that were ready are not ready any more; no change is in progress.
            if replaces {
                state(types::PROGRESSING, ConditionStatus::True, "RollingOut", message)
            } else {
                state(
                    types::PROGRESSING,
                    ConditionStatus::False,
                    "Settled",
                    "The spec is rolled out, but not all replicas are ready.",
                )
            },
            Verdict::InProgress,
        ),
    }
}

/// The most fundamental problem that blocks reconciling.
fn blocking_problem(facts: &Facts<'_>) -> Option<Problem> {
    if let Err(problem) = &facts.service.secrets {
        return Some(problem.clone());
    }
    if let Some(message) = name_conflict(facts.service, &facts.applied.name_conflicts) {
        return Some(Problem::new("NameConflict", message));
    }
    if let KeyMaterial::Lost(what) = &facts.service.keys {
        return Some(Problem::new("KeyMaterialLost", keys_lost(facts, what)));
    }
    if let Err(problem) = &facts.service.server {
        return Some(problem.clone());
    }
    if let Some(problem) = facts.applied.refused.first() {
        return Some(problem.clone());
    }
    if let Schema::Failed(why) = &facts.applied.schema {
        return Some(Problem::new("MigrationFailed", migration_failed(facts, why)));
    }
    None
}

fn wanted_replicas(facts: &Facts<'_>) -> i32 {
    facts.service.replicas_now(facts.applied.deployment.as_ref())
}

enum Rollout {
    Complete,
    InProgress { replaces: bool, message: String },
    Stuck(String),
}

fn rollout(facts: &Facts<'_>) -> Rollout {
    let wanted = wanted_replicas(facts);
    let Some(deployment) = &facts.applied.deployment else {
        return Rollout::InProgress {
            replaces: true,
            message: "The Deployment does not exist yet.".to_owned(),
        };
    };
    let status = deployment.status.clone().unwrap_or_default();
    let observed = status.observed_generation.unwrap_or(0) >= deployment.metadata.generation.unwrap_or(0);
    let (updated, all, ready) = (
        status.updated_replicas.unwrap_or(0),
        status.replicas.unwrap_or(0),
        status.ready_replicas.unwrap_or(0),
    );
    let rolled_out = observed && updated == wanted && all == wanted;
    if rolled_out && ready == wanted {
        return Rollout::Complete;
    }
    let why = why_no_pod(&status).or_else(|| why_not_ready(facts));
    let why = why.map(|why| format!(" {why}")).unwrap_or_default();
    let stuck = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"));
    if observed && stuck {
        return Rollout::Stuck(format!("The rollout makes no progress: check the pods.{why}"));
    }
    let message = if rolled_out {
        format!("{ready} of {wanted} replicas are ready.{why}")
    } else {
        format!("{updated} of {wanted} replicas are updated, {ready} are ready.{why}")
    };
    Rollout::InProgress { replaces: !rolled_out, message }
}

/// Why no pod can be created: a quota, a missing priority class, or admission.
fn why_no_pod(status: &DeploymentStatus) -> Option<String> {
    let failure = status.conditions.iter().flatten().find(|found| {
        found.type_.as_deref() == Some("ReplicaFailure") && found.status.as_deref() == Some("True")
    })?;
    Some(format!("No pod can be created: {}.", failure.message.as_deref()?.trim_end_matches('.')))
}

/// How long a Job may have no pod before this is reported: its controller retries temporary failures, such as a
/// ServiceAccount that admission does not know yet.
pub(super) const NO_POD_PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// The time since which a Job has had no pod; only its events contain the reason.
fn without_pod_since(job: &Job) -> Option<Timestamp> {
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

/// Whether a Job has no pod yet but is still within [`NO_POD_PATIENCE`], whose end no watch announces.
pub(super) fn awaits_pod(jobs: &[Job], now: Timestamp) -> bool {
    let mut since = jobs.iter().filter_map(without_pod_since);
    since.any(|since| now.duration_since(since) < NO_POD_PATIENCE)
}

/// Why the first pod that is not ready is not: the waiting reason of its container, or its report.
fn why_not_ready(facts: &Facts<'_>) -> Option<String> {
    let pod = facts.external_state.pods.iter().find(|pod| {
        let conditions =
            pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        !conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })?;
    let name = pod.name_any();
    let report =
        facts.external_state.answers.iter().find(|answer| answer.pod == name).and_then(|a| a.report.as_ref());
    let waits_for =
        report.and_then(|report| report.dependencies.iter().find(|(_, dependency)| !dependency.ready));
    if let Some((dependency, what)) = waits_for {
        return Some(format!("Pod {name} waits for {dependency}: {}", what.message));
    }
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    match containers.unwrap_or_default().iter().find_map(termination_message_before_restart) {
        Some(last_line) => Some(format!("Pod {name} terminated with an error: {last_line}")),
        None => why_not_started(pod),
    }
}

/// Why a pod has not started.
fn why_not_started(pod: &Pod) -> Option<String> {
    let name = pod.name_any();
    let status = pod.status.as_ref()?;
    let waiting = status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
    if let Some(reason) = waiting {
        return Some(format!("Pod {name} is waiting: {reason}."));
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let message = unscheduled.and_then(|condition| condition.message.as_deref())?;
    Some(format!("Pod {name} is not scheduled: {message}"))
}

/// The progress of the migration, or why its pod has not started.
pub(super) fn migrating(facts: &Facts<'_>) -> (&'static str, String) {
    /// Normal waiting reasons of every starting pod.
    const ORDINARY: [&str; 2] = ["ContainerCreating.", "PodInitializing."];
    let held_up = facts.external_state.migration_pods.iter().find_map(why_not_started).or_else(|| {
        let too_long = |since: Timestamp| facts.now.duration_since(since) >= NO_POD_PATIENCE;
        let job =
            facts.external_state.jobs.iter().find(|job| without_pod_since(job).is_some_and(too_long))?.name_any();
        Some(format!("The Job {job} cannot create a pod: run kubectl describe job {job} and resolve the reported problem."))
    });
    match held_up.filter(|why| !ORDINARY.iter().any(|ordinary| why.ends_with(ordinary))) {
        None => match termination_message(&facts.external_state.migration_pods) {
            Some(last_line) => {
                ("MigrationRetrying", format!("A migration attempt failed and is retried: {last_line}"))
            }
            None => ("Migrating", "The database schema is being migrated; no action is needed.".to_owned()),
        },
        Some(why) => ("MigrationWaiting", format!("The migration is waiting. {why}")),
    }
}

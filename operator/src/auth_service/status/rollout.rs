//! Whether an AuthService serves as specified, and what holds it up. Pure.

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
use super::termination_message::{termination_message, termination_message_before_restart};

pub(super) fn decide_ready(facts: &Facts<'_>) -> (Stated, Stated, Verdict) {
    if let Some(Problem { reason, message }) = blocking_problem(facts) {
        return (
            state(types::READY, ConditionStatus::False, reason, message),
            state(
                types::PROGRESSING,
                ConditionStatus::False,
                "Blocked",
                "Somebody has to act: Ready says what is wrong.",
            ),
            Verdict::Blocked,
        );
    }
    let waiting = match facts.schema {
        Schema::WaitingForDatabase => {
            Some(("WaitingForDatabase", "The embedded PostgreSQL is starting; nothing to do.".to_owned()))
        }
        Schema::Migrating => Some(migrating(facts)),
        Schema::Migrated | Schema::Failed(_) | Schema::Blocked(_) => None,
    };
    if let Some((reason, message)) = waiting {
        return (
            state(types::READY, ConditionStatus::False, reason, message.clone()),
            state(types::PROGRESSING, ConditionStatus::True, reason, message),
            Verdict::UnderWay,
        );
    }
    match rollout(facts) {
        Rollout::Complete if wanted_replicas(facts) == 0 => (
            state(
                types::READY,
                ConditionStatus::False,
                "ScaledToZero",
                if facts.service.spec.replicas == 0 {
                    "Nothing serves: raise spec.replicas to start again.".to_owned()
                } else {
                    format!(
                        "Nothing serves: kubectl scale deployment {} --replicas=1 lets the autoscaler go on.",
                        facts.service.name
                    )
                },
            ),
            state(types::PROGRESSING, ConditionStatus::False, "Settled", "Everything is as the spec says."),
            Verdict::Settled,
        ),
        Rollout::Complete if decide_login(facts).reason == LOGIN_FAILS => (
            state(types::READY, ConditionStatus::False, LOGIN_FAILS, decide_login(facts).message),
            state(types::PROGRESSING, ConditionStatus::False, "Settled", "Everything is as the spec says."),
            Verdict::Blocked,
        ),
        Rollout::Complete => (
            state(
                types::READY,
                ConditionStatus::True,
                "Available",
                format!("{} of {0} replicas are ready.", wanted_replicas(facts)),
            ),
            state(types::PROGRESSING, ConditionStatus::False, "Settled", "Everything is as the spec says."),
            Verdict::Settled,
        ),
        Rollout::Stuck(message) => (
            state(types::READY, ConditionStatus::False, "RolloutStuck", message.clone()),
            state(types::PROGRESSING, ConditionStatus::False, "Blocked", message),
            Verdict::Blocked,
        ),
        Rollout::UnderWay { replaces, message } => (
            state(types::READY, ConditionStatus::False, "ReplicasNotReady", message.clone()),
            // Replicas that were ready once and are not any more: nothing is being changed.
            if replaces {
                state(types::PROGRESSING, ConditionStatus::True, "RollingOut", message)
            } else {
                state(
                    types::PROGRESSING,
                    ConditionStatus::False,
                    "Settled",
                    "The spec is rolled out; replicas are missing.",
                )
            },
            Verdict::UnderWay,
        ),
    }
}

/// What somebody has to set right before anything goes on, the most fundamental first.
fn blocking_problem(facts: &Facts<'_>) -> Option<Problem> {
    if let Err(problem) = &facts.service.secrets {
        return Some(problem.clone());
    }
    if let Some((kind, name)) = facts.name_conflicts.first() {
        return Some(Problem::new(
            "NameTaken",
            format!(
                "the {kind} {name} exists and belongs to somebody else: delete or rename it, or give the AuthService another name."
            ),
        ));
    }
    if let KeyMaterial::Lost(what) = &facts.service.keys {
        return Some(Problem::new("KeyMaterialLost", keys_lost(facts, what)));
    }
    if let Err(problem) = &facts.service.server {
        return Some(problem.clone());
    }
    if let Some(problem) = facts.refused.first() {
        return Some(problem.clone());
    }
    if let Schema::Failed(why) = facts.schema {
        return Some(Problem::new("MigrationFailed", migration_failed(facts, why)));
    }
    None
}

fn wanted_replicas(facts: &Facts<'_>) -> i32 {
    facts.service.replicas_now(facts.deployment)
}

enum Rollout {
    Complete,
    UnderWay { replaces: bool, message: String },
    Stuck(String),
}

fn rollout(facts: &Facts<'_>) -> Rollout {
    let wanted = wanted_replicas(facts);
    let Some(deployment) = facts.deployment else {
        return Rollout::UnderWay { replaces: true, message: "The Deployment is being made.".to_owned() };
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
        return Rollout::Stuck(format!("The rollout makes no progress: look at the pods.{why}"));
    }
    let message = if rolled_out {
        format!("{ready} of {wanted} replicas are ready.{why}")
    } else {
        format!("{updated} of {wanted} replicas are updated, {ready} are ready.{why}")
    };
    Rollout::UnderWay { replaces: !rolled_out, message }
}

/// Why no pod can be made: a quota, a priority class that does not exist, an admission.
fn why_no_pod(status: &DeploymentStatus) -> Option<String> {
    let failure = status.conditions.iter().flatten().find(|found| {
        found.type_.as_deref() == Some("ReplicaFailure") && found.status.as_deref() == Some("True")
    })?;
    Some(format!("No pod can be made: {}.", failure.message.as_deref()?.trim_end_matches('.')))
}

/// How long a Job may have no pod before that is worth a word: its controller retries by itself what only comes
/// late, like a ServiceAccount that the admission has not seen yet.
pub(super) const NO_POD_PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// Since when a Job has no pod to show for itself, which its events alone explain.
fn without_pod_since(job: &Job) -> Option<Timestamp> {
    let status = job.status.as_ref()?;
    let none = |count: Option<i32>| count.unwrap_or_default() == 0;
    // A pod that has ended is told of here before it is counted.
    let uncounted = status.uncounted_terminated_pods.as_ref();
    let ended = uncounted.is_some_and(|pods| {
        [&pods.failed, &pods.succeeded].into_iter().flatten().any(|uids| !uids.is_empty())
    });
    let nowhere =
        !ended && [status.active, status.failed, status.succeeded, status.terminating].into_iter().all(none);
    status.start_time.as_ref().filter(|_| nowhere).map(|time| time.0)
}

/// Whether a Job has no pod yet, and is given its moment: no watch tells when [`NO_POD_PATIENCE`] is over.
pub(super) fn awaits_pod(jobs: &[Job], now: Timestamp) -> bool {
    let mut since = jobs.iter().filter_map(without_pod_since);
    since.any(|since| now.duration_since(since) < NO_POD_PATIENCE)
}

/// Why the first pod that is not ready is not: what its container waits for, or what it says itself.
fn why_not_ready(facts: &Facts<'_>) -> Option<String> {
    let pod = facts.service.pods.iter().find(|pod| {
        let conditions =
            pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        !conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })?;
    let name = pod.name_any();
    let report =
        facts.service.answers.iter().find(|answer| answer.pod == name).and_then(|a| a.report.as_ref());
    let waits_for =
        report.and_then(|report| report.dependencies.iter().find(|(_, dependency)| !dependency.ready));
    if let Some((dependency, what)) = waits_for {
        return Some(format!("Pod {name} waits for {dependency}: {}", what.message));
    }
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    match containers.unwrap_or_default().iter().find_map(termination_message_before_restart) {
        Some(words) => Some(format!("Pod {name} ended with an error: {words}")),
        None => why_not_started(pod),
    }
}

/// What holds up a pod's start, if anything does.
fn why_not_started(pod: &Pod) -> Option<String> {
    let name = pod.name_any();
    let status = pod.status.as_ref()?;
    let waiting = status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
    if let Some(reason) = waiting {
        return Some(format!("Pod {name} waits: {reason}."));
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let message = unscheduled.and_then(|condition| condition.message.as_deref())?;
    Some(format!("Pod {name} has no node: {message}"))
}

/// That the migration is under way, or what its pod waits for.
pub(super) fn migrating(facts: &Facts<'_>) -> (&'static str, String) {
    /// What every pod waits for, for a moment.
    const ORDINARY: [&str; 2] = ["ContainerCreating.", "PodInitializing."];
    let held_up = facts.service.migration_pods.iter().find_map(why_not_started).or_else(|| {
        let too_long = |since: Timestamp| facts.now.duration_since(since) >= NO_POD_PATIENCE;
        let job =
            facts.service.jobs.iter().find(|job| without_pod_since(job).is_some_and(too_long))?.name_any();
        Some(format!("The Job {job} can make no pod: set right what kubectl describe job {job} says."))
    });
    match held_up.filter(|why| !ORDINARY.iter().any(|ordinary| why.ends_with(ordinary))) {
        None => match termination_message(&facts.service.migration_pods) {
            Some(words) => (
                "MigrationRetrying",
                format!("A try to migrate the schema failed and is made again: {words}"),
            ),
            None => ("Migrating", "The schema is being migrated; nothing to do.".to_owned()),
        },
        Some(why) => ("MigrationWaiting", format!("The schema cannot be migrated yet. {why}")),
    }
}

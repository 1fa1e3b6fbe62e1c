//! The conditions `Ready` and `Progressing`. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use latchkey_crds::conditions as types;

use crate::auth_service::problem::Problem;
use crate::auth_service::render::Schema;
use crate::names::Component;
use crate::signing_keys::KeyMaterial;

use super::attempt::find_attempt;
use super::dependencies::{LOGIN_FAILS, decide_login};
use super::facts::{ConditionStatus, Facts, Stated, Verdict, keys_lost, migration_failed, state};
use super::name_conflict::name_conflict;
use super::obstacles::{self, Obstacle, Step};
use super::scaling::{Replicas, SCALING, is_scaling};
use super::termination_message::{
    termination_message, termination_message_before_restart, termination_message_of_pods,
};

/// Why the service is not ready although nothing blocks the operator.
pub(super) struct Wait {
    pub reason: &'static str,
    pub message: String,
    pub obstacle: Option<Obstacle>,
}

pub(super) fn decide_ready(facts: &Facts<'_>) -> (Stated, Stated, Verdict) {
    if let Some(Problem { reason, message }) = blocking_problem(facts) {
        return (state(types::READY, ConditionStatus::False, reason, message), blocked(), Verdict::Blocked);
    }
    let waiting = match &facts.applied.schema {
        Schema::WaitingForDatabase => Some(waiting_for_database(facts)),
        Schema::Migrating => Some(migrating(facts)),
        Schema::Migrated | Schema::Failed(_) | Schema::Blocked(_) => None,
    };
    if let Some(wait) = waiting {
        let progressing = state(types::PROGRESSING, ConditionStatus::True, wait.reason, wait.message.clone());
        return held_up(facts, wait, progressing);
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
        Rollout::Complete | Rollout::Scaling(_) if decide_login(facts).reason == LOGIN_FAILS => (
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
        Rollout::Scaling(message) => (
            state(types::READY, ConditionStatus::True, "Available", message.clone()),
            state(types::PROGRESSING, ConditionStatus::True, SCALING, message),
            Verdict::InProgress,
        ),
        Rollout::Stuck(message) => (
            state(types::READY, ConditionStatus::False, "RolloutStuck", message.clone()),
            state(types::PROGRESSING, ConditionStatus::False, "Blocked", message),
            Verdict::Blocked,
        ),
        Rollout::InProgress { replaces, wait } => {
            // Replicas that were ready are not ready any more; no change is in progress.
            let progressing = if replaces {
                state(types::PROGRESSING, ConditionStatus::True, "RollingOut", wait.message.clone())
            } else {
                state(
                    types::PROGRESSING,
                    ConditionStatus::False,
                    "Settled",
                    "The spec is rolled out, but not all replicas are ready.",
                )
            };
            held_up(facts, wait, progressing)
        }
    }
}

/// The conditions of a service that waits. An obstacle that lasts needs a user.
fn held_up(facts: &Facts<'_>, wait: Wait, progressing: Stated) -> (Stated, Stated, Verdict) {
    let Wait { reason, message, obstacle } = wait;
    let ready = state(types::READY, ConditionStatus::False, reason, message);
    if obstacle.is_some_and(|obstacle| obstacle.stalls(facts.now)) {
        return (ready, blocked(), Verdict::Blocked);
    }
    (ready, progressing, Verdict::InProgress)
}

fn blocked() -> Stated {
    state(
        types::PROGRESSING,
        ConditionStatus::False,
        "Blocked",
        "Reconciling is blocked; the condition Ready describes the problem.",
    )
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
    /// Only the number of replicas changes.
    Scaling(String),
    InProgress {
        replaces: bool,
        wait: Wait,
    },
    Stuck(String),
}

fn rollout(facts: &Facts<'_>) -> Rollout {
    let wanted = wanted_replicas(facts);
    let Some(deployment) = &facts.applied.deployment else {
        let message = "The Deployment does not exist yet.".to_owned();
        let wait = Wait { reason: "ReplicasNotReady", message, obstacle: None };
        return Rollout::InProgress { replaces: true, wait };
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
    let replicas = Replicas { wanted, all, updated, ready };
    let is_scaling = is_scaling(facts, replicas);
    if is_scaling && (all, ready) == (wanted, wanted) {
        // Only the generation is not observed yet.
        return Rollout::Complete;
    }
    let (why, obstacle) = why_not_ready(facts, deployment);
    let why = why.iter().fold(String::new(), |text, why| text + " " + why);
    if is_scaling && obstacle.as_ref().is_none_or(Obstacle::passes) {
        let change = if all > wanted { "removed" } else { "added" };
        return Rollout::Scaling(format!(
            "{ready} of {wanted} replicas are ready; replicas are being {change}.{why}"
        ));
    }
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
    let reason = match obstacle.as_ref().map(|obstacle| obstacle.step) {
        None => "ReplicasNotReady",
        Some(Step::Creation) => "PodsNotCreated",
        Some(Step::Start) => "PodsNotStarting",
    };
    Rollout::InProgress { replaces: !rolled_out, wait: Wait { reason, message, obstacle } }
}

/// Why replicas are not ready, one sentence for each cause, and the first obstacle among the causes.
fn why_not_ready(facts: &Facts<'_>, deployment: &Deployment) -> (Vec<String>, Option<Obstacle>) {
    let of_server = obstacles::of_deployment(deployment, &facts.external_state.warnings)
        .or_else(|| of_server_pods(facts));
    let text = of_server.as_ref().map(|obstacle| obstacle.message.clone()).or_else(|| waits_for(facts));
    let of_stores = [Component::Postgres, Component::Redis];
    let of_stores = of_stores.into_iter().find_map(|component| obstacles::of_embedded(facts, component));
    let texts = text.into_iter().chain(of_stores.as_ref().map(|obstacle| obstacle.message.clone()));
    (texts.collect(), of_server.or(of_stores))
}

/// An obstacle of the server's pods. A pod that ended or is being deleted counts only if no other has an obstacle.
fn of_server_pods(facts: &Facts<'_>) -> Option<Obstacle> {
    let of_pod = |pod: &&Pod| obstacles::of_pod(pod, &facts.external_state.warnings, facts.now);
    let (active, others): (Vec<&Pod>, Vec<&Pod>) = unready_pods(facts).partition(|pod| is_active(pod));
    active.iter().find_map(of_pod).or_else(|| others.iter().find_map(of_pod))
}

fn is_active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}

fn unready_pods<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a Pod> {
    facts.external_state.pods.iter().filter(|pod| {
        let conditions =
            pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        !conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

/// What the first pod that is not ready waits for, by its report or by the end of its last run.
fn waits_for(facts: &Facts<'_>) -> Option<String> {
    let pod = unready_pods(facts).find(|pod| is_active(pod)).or_else(|| unready_pods(facts).next())?;
    let name = pod.name_any();
    let report =
        facts.external_state.answers.iter().find(|answer| answer.pod == name).and_then(|a| a.report.as_ref());
    let dependency =
        report.and_then(|report| report.dependencies.iter().find(|(_, dependency)| !dependency.ready));
    if let Some((dependency, what)) = dependency {
        return Some(format!("Pod {name} waits for {dependency}: {}", what.message));
    }
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let last_line = containers.unwrap_or_default().iter().find_map(termination_message_before_restart)?;
    Some(format!("Pod {name} terminated with an error: {last_line}"))
}

/// The start of the embedded PostgreSQL, which a migration requires, or why it does not start.
pub(super) fn waiting_for_database(facts: &Facts<'_>) -> Wait {
    match obstacles::of_embedded(facts, Component::Postgres) {
        None => Wait {
            reason: "WaitingForDatabase",
            message: "The embedded PostgreSQL is starting; no action is needed.".to_owned(),
            obstacle: None,
        },
        Some(obstacle) => Wait {
            reason: "DatabaseNotStarting",
            message: format!("The embedded PostgreSQL does not start. {}", obstacle.message),
            obstacle: Some(obstacle),
        },
    }
}

/// The progress of the migration, or why its pod has not started.
pub(super) fn migrating(facts: &Facts<'_>) -> Wait {
    let pods = &facts.external_state.migration_pods;
    let attempt = find_attempt(facts);
    let progress = attempt.as_ref().map(|attempt| format!(" ({})", attempt.text)).unwrap_or_default();
    if let Some(obstacle) = obstacles::of_migration(facts) {
        let message = format!("The migration is waiting{progress}. {}", obstacle.message);
        return Wait { reason: "MigrationWaiting", message, obstacle: Some(obstacle) };
    }
    let failed = termination_message(pods).or_else(|| termination_message_of_pods(pods));
    let (reason, message) = if let Some(last_line) = failed {
        ("MigrationRetrying", format!("A migration attempt failed and is retried{progress}: {last_line}"))
    } else {
        let logs = attempt.map(|attempt| format!(" kubectl logs job/{} shows its progress.", attempt.job));
        let logs = logs.unwrap_or_default();
        let message = format!("The database schema is being migrated{progress}; no action is needed.{logs}");
        ("Migrating", message)
    };
    Wait { reason, message, obstacle: None }
}

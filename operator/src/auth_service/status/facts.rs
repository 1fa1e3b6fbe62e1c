//! What the conditions are decided from, and what several of them share. Pure.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use latchkey_crds::conditions as types;

use crate::auth_service::problem::Problem;
use crate::auth_service::render::Schema;
use crate::auth_service::server_reports::Report;
use crate::auth_service::validate::Validated;
use crate::cluster::kinds::Kind;

use super::termination_message::termination_message;

/// How long until a pod is asked again what it sees: nothing announces that a dependency went away. It costs
/// the API server nothing.
const SETTLED: Duration = Duration::from_mins(1);
/// How long until something that somebody has to set right is looked at again, where no watch would tell.
const BLOCKED: Duration = Duration::from_secs(30);
/// How long until servers are asked again while something is under way: at first, and at last. What pods do is told by
/// a watch; this is for what a server alone knows.
const UNDER_WAY: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(30)];

/// A condition's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// The name as a condition spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition as decided, without its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// Its type.
    pub type_: &'static str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, and what to do, in one sentence.
    pub message: String,
}

/// How things stand as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As specified.
    Settled,
    /// On the way there.
    UnderWay,
    /// Somebody has to act.
    Blocked,
}

impl Verdict {
    /// How long until the next look, where no watch triggers one. `servers_run` says whether there are servers
    /// to ask: everything else that is under way is told by a watch. What has been under way for `so_long` is looked
    /// at again when it has been so for half as long again.
    pub fn requeue_after(self, servers_run: bool, so_long: Duration) -> Duration {
        match self {
            Self::UnderWay if servers_run => (so_long / 2).clamp(UNDER_WAY[0], UNDER_WAY[1]),
            Self::Settled | Self::UnderWay => SETTLED,
            Self::Blocked => BLOCKED,
        }
    }
}

/// What was observed.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub service: &'a Validated,
    pub schema: &'a Schema,
    pub name_conflicts: &'a [(Kind, String)],
    pub refused: &'a [Problem],
    pub deployment: Option<&'a Deployment>,
    pub pending: bool,
    pub now: Timestamp,
}

/// Whether a reason calls for somebody to act; others pass by themselves.
pub(super) fn is_trouble(reason: &str) -> bool {
    !matches!(
        reason,
        "ReplicasNotReady"
            | "ScaledToZero"
            | "WaitingForDatabase"
            | "Migrating"
            | "Disabled"
            | "Allowed"
            | "Settled"
            | "ServiceMonitorKindMissing"
            | "Blocked"
            | "NotLoaded"
            | "NotPaused"
            | "Paused"
    )
}

/// Conditions that are best when they do not hold.
const BEST_FALSE: [&str; 5] =
    [types::DATABASE_SHARED, types::EMBEDDED_STORES, types::PAUSED, types::RECONCILING, types::STALLED];

/// Whether a condition is as one would have it.
pub(super) fn is_well(condition: &Condition) -> bool {
    condition.status == if BEST_FALSE.contains(&condition.type_.as_str()) { "False" } else { "True" }
}

/// Whether a condition calls for somebody to act.
pub(super) fn is_warning(condition: &Condition) -> bool {
    condition.status != "Unknown" && !is_well(condition) && is_trouble(&condition.reason)
}

pub(super) fn state(
    type_: &'static str,
    status: ConditionStatus,
    reason: &'static str,
    message: impl Into<String>,
) -> Stated {
    Stated { type_, status, reason, message: message.into() }
}

pub(super) fn reports<'a>(facts: &'a Facts<'_>) -> Vec<(&'a str, &'a Report)> {
    facts
        .service
        .answers
        .iter()
        .filter_map(|answer| Some((answer.pod.as_str(), answer.report.as_ref()?)))
        .collect()
}

pub(super) fn no_answer(facts: &Facts<'_>, type_: &'static str) -> Stated {
    let message =
        first_fault(facts).unwrap_or_else(|| "No replica could be asked: Ready says why.".to_owned());
    state(type_, ConditionStatus::Unknown, "NoReplicaAnswers", message)
}

/// What is wrong with the first answer that is no report.
fn first_fault(facts: &Facts<'_>) -> Option<String> {
    let mut answers = facts.service.answers.iter();
    let (pod, fault) = answers.find_map(|answer| Some((&answer.pod, answer.fault?)))?;
    Some(format!("Pod {pod} answers GET /status {fault}: check which image it runs (spec.image)."))
}

pub(super) fn decide_dependency(
    facts: &Facts<'_>,
    type_: &'static str,
    dependency: &str,
    called: &str,
) -> Stated {
    let told: Vec<_> = reports(facts)
        .into_iter()
        .filter_map(|(pod, report)| Some((pod, report.dependencies.get(dependency)?)))
        .collect();
    match told.iter().find(|(_, dependency)| !dependency.ready) {
        _ if told.is_empty() => no_answer(facts, type_),
        Some((pod, dependency)) => state(
            type_,
            ConditionStatus::False,
            "Unreachable",
            format!("Pod {pod} does not reach {called}: {}", dependency.message),
        ),
        None => {
            let fault = first_fault(facts).map(|fault| format!(" {fault}")).unwrap_or_default();
            let message = format!("Every replica that answers reaches {called}.{fault}");
            state(type_, ConditionStatus::True, "Reachable", message)
        }
    }
}

pub(super) fn migration_failed(facts: &Facts<'_>, why: &str) -> String {
    if let Some(words) = termination_message(&facts.service.migration_pods) {
        return format!(
            "the migration Job failed: {words}. Set that right; it is tried again when its inputs change, and every five minutes."
        );
    }
    format!(
        "the migration Job failed ({why}): read the log of its pods (kubectl logs -l app.kubernetes.io/component=migration,app.kubernetes.io/instance={}) and set right what it says; it is tried again when its inputs change, and every five minutes.",
        facts.service.name
    )
}

pub(super) fn keys_lost(facts: &Facts<'_>, what: &str) -> String {
    format!(
        "the signing keys are lost, {what}: restore the Secret {} from a backup (or run the release that wrote it), or give them and every token up by annotating the AuthService with latchkey.dev/replace-lost-keys and a new value; until then nothing is written over it, and running replicas go on with the keys they hold.",
        facts.service.names.jwt_keys()
    )
}

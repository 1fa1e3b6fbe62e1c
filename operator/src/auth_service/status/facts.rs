//! The facts from which the conditions are decided, and what several conditions share. Pure.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use latchkey_crds::conditions as types;

use crate::auth_service::apply::Applied;
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::server_reports::{Fault, Report};
use crate::auth_service::validate::Validated;
use crate::names::MANAGEMENT_PORT;

use super::termination_message::termination_message;

/// The interval of status queries in a steady state: no watch announces that a dependency fails. Queries do not
/// involve the API server.
const SETTLED: Duration = Duration::from_mins(1);
/// The interval of reconciles while a user must act on something that is not watched.
const BLOCKED: Duration = Duration::from_secs(30);
/// The minimum and maximum interval of status queries while a change is in progress. Watches report changes of pods;
/// only the servers know the rest.
const IN_PROGRESS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(30)];

/// A condition's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// The value in a condition.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A decided condition, without its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    pub type_: &'static str,
    /// Its status.
    pub status: ConditionStatus,
    /// Its reason.
    pub reason: &'static str,
    /// A message with the cause and the remedy.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The cluster matches the spec.
    Settled,
    /// A change is in progress.
    InProgress,
    /// A user must act.
    Blocked,
}

impl Verdict {
    /// The time until the next reconcile if no watch event triggers one. `servers_run`: there are servers to query;
    /// watches report all other progress. The interval is half of `in_progress_for`, the age of the change.
    pub(crate) fn requeue_after(self, servers_run: bool, in_progress_for: Duration) -> Duration {
        match self {
            Self::InProgress if servers_run => (in_progress_for / 2).clamp(IN_PROGRESS[0], IN_PROGRESS[1]),
            Self::Settled | Self::InProgress => SETTLED,
            Self::Blocked => BLOCKED,
        }
    }
}

/// The input of the decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub service: &'a Validated,
    pub external_state: &'a ExternalState,
    pub applied: &'a Applied,
    pub now: Timestamp,
}

/// Whether a reason requires an action by a user; other reasons are temporary.
pub(super) fn needs_action(reason: &str) -> bool {
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

/// Conditions that are normally `False`.
const NORMALLY_FALSE: [&str; 5] =
    [types::DATABASE_SHARED, types::EMBEDDED_STORES, types::PAUSED, types::RECONCILING, types::STALLED];

/// Whether a condition has its normal status.
pub(super) fn is_normal(condition: &Condition) -> bool {
    condition.status == if NORMALLY_FALSE.contains(&condition.type_.as_str()) { "False" } else { "True" }
}

/// Whether a condition requires an action by a user.
pub(super) fn is_warning(condition: &Condition) -> bool {
    condition.status != "Unknown" && !is_normal(condition) && needs_action(&condition.reason)
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
        .external_state
        .answers
        .iter()
        .filter_map(|answer| Some((answer.pod.as_str(), answer.report.as_ref()?)))
        .collect()
}

pub(super) fn no_answer(facts: &Facts<'_>, type_: &'static str) -> Stated {
    let message = first_fault(facts)
        .unwrap_or_else(|| "No replica reports its status; the condition Ready describes why.".to_owned());
    state(type_, ConditionStatus::Unknown, "NoReplicaReports", message)
}

/// The message for a pod whose management port does not answer the operator, and the remedy.
fn denied(pod: &str) -> String {
    format!(
        "Pod {pod} does not answer the operator on port {MANAGEMENT_PORT}: the connection is closed or the request denied, as by a service mesh with strict mTLS. Exclude the port from the mesh (spec.pod.annotations, for example traffic.sidecar.istio.io/excludeInboundPorts or config.linkerd.io/skip-inbound-ports: \"{MANAGEMENT_PORT}\"), or add the operator to the mesh."
    )
}

/// The message for the first pod that is ready but does not answer the operator.
pub(super) fn first_denied(facts: &Facts<'_>) -> Option<String> {
    let answers = facts.external_state.answers.iter();
    let mut refused = answers.filter(|answer| answer.fault == Some(Fault::Denied));
    let is_ready = |name: &str| {
        facts
            .external_state
            .pods
            .iter()
            .any(|pod| pod.name_any() == name && crate::auth_service::dereference::is_ready(pod))
    };
    refused.find(|answer| is_ready(&answer.pod)).map(|answer| denied(&answer.pod))
}

/// What is wrong with the first invalid report.
fn first_fault(facts: &Facts<'_>) -> Option<String> {
    let mut answers = facts.external_state.answers.iter();
    let (pod, fault) = answers.find_map(|answer| Some((&answer.pod, answer.fault?)))?;
    if fault == Fault::Denied {
        return Some(denied(pod));
    }
    Some(format!(
        "Pod {pod} returned an invalid response to GET /status ({fault}): check its image (spec.image)."
    ))
}

pub(super) fn decide_dependency(
    facts: &Facts<'_>,
    type_: &'static str,
    dependency: &str,
    called: &str,
) -> Stated {
    let reported: Vec<_> = reports(facts)
        .into_iter()
        .filter_map(|(pod, report)| Some((pod, report.dependencies.get(dependency)?)))
        .collect();
    match reported.iter().find(|(_, dependency)| !dependency.ready) {
        _ if reported.is_empty() => no_answer(facts, type_),
        Some((pod, dependency)) => state(
            type_,
            ConditionStatus::False,
            "Unreachable",
            format!("Pod {pod} cannot reach {called}: {}", dependency.message),
        ),
        None => {
            let fault = first_fault(facts).map(|fault| format!(" {fault}")).unwrap_or_default();
            let message = format!("All reporting replicas reach {called}.{fault}");
            state(type_, ConditionStatus::True, "Reachable", message)
        }
    }
}

pub(super) fn migration_failed(facts: &Facts<'_>, why: &str) -> String {
    if let Some(last_line) = termination_message(&facts.external_state.migration_pods) {
        return format!(
            "the migration Job failed: {last_line}. Resolve the problem; the Job is retried when its inputs change, and every five minutes."
        );
    }
    format!(
        "the migration Job failed ({why}): check the logs of its pods (kubectl logs -l app.kubernetes.io/component=migration,app.kubernetes.io/instance={}) and resolve the problem; the Job is retried when its inputs change, and every five minutes.",
        facts.service.name
    )
}

pub(super) fn keys_lost(facts: &Facts<'_>, what: &str) -> String {
    format!(
        "the signing keys are lost, {what}: restore the Secret {} from a backup (or run the release that wrote it). To abandon the keys, which invalidates all tokens, annotate the AuthService with latchkey.dev/replace-lost-keys and a new value. Until then the Secret is not overwritten, and running replicas continue with the keys that they have loaded.",
        facts.service.names.jwt_keys()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        serde_json::from_value(serde_json::json!({
            "type": type_, "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn replicas_are_queried_less_often_the_longer_a_change_takes() {
        let after =
            |seconds: u64| Verdict::InProgress.requeue_after(true, Duration::from_secs(seconds)).as_secs();
        assert_eq!([0, 6, 20, 60, 3600].map(after), [3, 3, 10, 30, 30]);
        for age in [Duration::ZERO, Duration::from_hours(1)] {
            // Without servers there is nothing to query, and watches report the progress.
            assert_eq!(Verdict::InProgress.requeue_after(false, age), SETTLED);
            for servers_run in [true, false] {
                assert_eq!(Verdict::Settled.requeue_after(servers_run, age), SETTLED);
                assert_eq!(Verdict::Blocked.requeue_after(servers_run, age), BLOCKED);
            }
        }
    }

    #[test]
    fn a_condition_is_normal_with_its_usual_status() {
        for type_ in types::ALL {
            let usual = if NORMALLY_FALSE.contains(&type_) { "False" } else { "True" };
            for status in ["True", "False", "Unknown"] {
                assert_eq!(is_normal(&condition(type_, status, "R")), status == usual, "{type_} {status}");
            }
        }
    }

    #[test]
    fn only_a_problem_that_a_user_must_solve_is_a_warning() {
        for (type_, status, reason, expected) in [
            (types::READY, "True", "Available", false),
            (types::READY, "False", "SecretMissing", true),
            (types::READY, "False", "ReplicasNotReady", false),
            (types::READY, "Unknown", "SecretMissing", false),
            (types::MAIL_READY, "False", "Disabled", false),
            (types::MAIL_READY, "False", "Unreachable", true),
            (types::DATABASE_SHARED, "True", "Allowed", false),
            (types::DATABASE_SHARED, "True", "DatabaseShared", true),
            (types::DATABASE_SHARED, "False", "Exclusive", false),
        ] {
            assert_eq!(is_warning(&condition(type_, status, reason)), expected, "{type_} {status} {reason}");
        }
    }
}

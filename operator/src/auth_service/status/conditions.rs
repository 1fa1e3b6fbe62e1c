//! What is said about an AuthService: decided from facts alone. Pure.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use latchkey_crds::conditions as types;

use crate::auth_service::build::Schema;
use crate::auth_service::replicas::Report;
use crate::auth_service::validate::{Problem, Validated};
use crate::cache::Presence;
use crate::kinds::Kind;

use super::autoscaling::decide_autoscaling;
use super::certificate::decide_certificate;
use super::dependencies::{decide_database, decide_embedded, decide_login, decide_shared};
use super::exposure::decide_exposed;
use super::last_words::last_words;
use super::rollout::migrating;
use super::standing;

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
pub enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
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
    pub status: Truth,
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
    pub fn look_again_after(self, servers_run: bool, so_long: Duration) -> Duration {
        match self {
            Self::UnderWay if servers_run => (so_long / 2).clamp(UNDER_WAY[0], UNDER_WAY[1]),
            Self::Settled | Self::UnderWay => SETTLED,
            Self::Blocked => BLOCKED,
        }
    }
}

/// What was observed.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each field is of the type that says what it is")]
pub struct Facts<'a> {
    pub service: &'a Validated,
    pub schema: &'a Schema,
    pub taken: &'a [(Kind, String)],
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

/// Decides every condition, and how things stand as a whole.
pub fn decide_conditions(facts: &Facts<'_>) -> (Vec<Stated>, Verdict) {
    let standing = super::rollout::decide_ready(facts);
    let (ready, progressing, verdict) =
        if facts.service.spec.paused { standing::while_paused(facts, standing) } else { standing };
    let (reconciling, stalled) =
        (standing::decide_reconciling(&progressing), standing::decide_stalled(&ready, verdict));
    let conditions = vec![
        ready,
        progressing,
        decide_secrets(facts),
        decide_database(facts),
        decide_schema(facts),
        super::keys::decide_keys(facts),
        decide_revocation(facts),
        decide_mail(facts),
        decide_monitoring(facts),
        decide_login(facts),
        decide_shared(facts),
        decide_embedded(facts),
        decide_exposed(facts),
        decide_certificate(facts),
        decide_autoscaling(facts),
        standing::decide_paused(facts),
        reconciling,
        stalled,
    ];
    (conditions, verdict)
}

pub(super) fn state(
    type_: &'static str,
    status: Truth,
    reason: &'static str,
    message: impl Into<String>,
) -> Stated {
    Stated { type_, status, reason, message: message.into() }
}

fn decide_secrets(facts: &Facts<'_>) -> Stated {
    match &facts.service.secrets {
        Ok(()) => state(
            types::SECRETS_RESOLVED,
            Truth::True,
            "AllFound",
            "Every Secret that the spec names was found.",
        ),
        Err(problem) => state(types::SECRETS_RESOLVED, Truth::False, problem.reason, problem.message.clone()),
    }
}

fn decide_schema(facts: &Facts<'_>) -> Stated {
    let say = |status, reason, message: String| state(types::SCHEMA_MIGRATED, status, reason, message);
    match facts.schema {
        Schema::Migrated => say(Truth::True, "Migrated", "The schema fits the server's image.".to_owned()),
        Schema::Migrating => {
            let (reason, message) = migrating(facts);
            say(Truth::False, reason, message)
        }
        Schema::WaitingForDatabase => say(
            Truth::False,
            "WaitingForDatabase",
            "The embedded PostgreSQL is starting; nothing to do.".to_owned(),
        ),
        Schema::Failed(why) => say(Truth::False, "MigrationFailed", migration_failed(facts, why)),
        Schema::Blocked(problem) => say(Truth::False, "Blocked", problem.message.clone()),
    }
}

pub(super) fn migration_failed(facts: &Facts<'_>, why: &str) -> String {
    if let Some(words) = last_words(&facts.service.migration_pods) {
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

pub(super) fn reports<'a>(facts: &'a Facts<'_>) -> Vec<(&'a str, &'a Report)> {
    facts
        .service
        .answers
        .iter()
        .filter_map(|answer| Some((answer.pod.as_str(), answer.report.as_ref()?)))
        .collect()
}

fn no_answer(facts: &Facts<'_>, type_: &'static str) -> Stated {
    let message =
        first_fault(facts).unwrap_or_else(|| "No replica could be asked: Ready says why.".to_owned());
    state(type_, Truth::Unknown, "NoReplicaAnswers", message)
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
            Truth::False,
            "Unreachable",
            format!("Pod {pod} does not reach {called}: {}", dependency.message),
        ),
        None => {
            let fault = first_fault(facts).map(|fault| format!(" {fault}")).unwrap_or_default();
            let message = format!("Every replica that answers reaches {called}.{fault}");
            state(type_, Truth::True, "Reachable", message)
        }
    }
}

fn decide_revocation(facts: &Facts<'_>) -> Stated {
    let type_ = types::REVOCATION_STORE_READY;
    let told: Vec<_> = reports(facts)
        .into_iter()
        .filter_map(|(pod, report)| Some((pod, report.revocation.as_ref()?)))
        .collect();
    let refused = reports(facts).into_iter().find_map(|(pod, report)| {
        let redis = report.dependencies.get("redis")?;
        (!redis.ready).then(|| format!("Pod {pod} cannot use this Redis: {}.", redis.message))
    });
    if let Some(message) = refused {
        return state(type_, Truth::False, "RedisUnusable", message);
    }
    match told.iter().find(|(_, revocation)| revocation.mode != "redis") {
        _ if told.is_empty() => no_answer(facts, type_),
        Some((pod, revocation)) => state(
            type_,
            Truth::False,
            "FallenBackToPostgres",
            format!(
                "Pod {pod} looks revocations up in PostgreSQL, which is safe but slower; bring Redis back: {}",
                revocation.message
            ),
        ),
        None => state(
            type_,
            Truth::True,
            "Redis",
            "Every replica that answers looks revocations up in Redis, which evicts nothing.",
        ),
    }
}

fn decide_mail(facts: &Facts<'_>) -> Stated {
    if !facts.service.spec.email.enabled {
        return state(
            types::MAIL_READY,
            Truth::False,
            "Disabled",
            "Password recovery answers 503: set spec.email.enabled to send mail.",
        );
    }
    decide_dependency(facts, types::MAIL_READY, "mail", "the SMTP server")
}

fn decide_monitoring(facts: &Facts<'_>) -> Stated {
    let say = |status, reason, message: String| state(types::MONITORING_CONFIGURED, status, reason, message);
    if !facts.service.spec.monitoring.service_monitor.enabled {
        let message = "There is no ServiceMonitor: set spec.monitoring.serviceMonitor.enabled to have one.";
        return say(Truth::False, "Disabled", message.to_owned());
    }
    let taken = facts.taken.iter().any(|(kind, _)| *kind == Kind::ServiceMonitor);
    match facts.service.optional.presence(Kind::ServiceMonitor) {
        Presence::Present if taken => {
            say(Truth::False, "NameTaken", "The ServiceMonitor belongs to somebody else: delete or rename it.".to_owned())
        }
        Presence::Present => {
            say(Truth::True, "ServiceMonitorApplied", "Prometheus is told where to scrape.".to_owned())
        }
        Presence::Absent => say(
            Truth::False,
            "ServiceMonitorKindMissing",
            "The cluster has no ServiceMonitors: install the Prometheus Operator, or set spec.monitoring.serviceMonitor.enabled to false.".to_owned(),
        ),
        Presence::Unknown => say(
            Truth::Unknown,
            "CannotTell",
            format!("Whether the cluster knows ServiceMonitors cannot be told yet: the operator has to be allowed to watch the CustomResourceDefinition {}.", Kind::ServiceMonitor.definition()),
        ),
    }
}

//! What is said about an AuthService: decided from facts alone. Pure.

use latchkey_crds::conditions as types;

use crate::auth_service::render::Schema;
use crate::cluster::cache::Presence;
use crate::cluster::kinds::Kind;

use super::autoscaling::decide_autoscaling;
use super::certificate::decide_certificate;
use super::dependencies::{decide_database, decide_embedded, decide_login, decide_shared};
use super::exposure::decide_exposed;
use super::facts::{
    ConditionStatus, Facts, Stated, Verdict, decide_dependency, migration_failed, no_answer, reports, state,
};
use super::keys::decide_keys;
use super::kstatus;
use super::rollout::{decide_ready, migrating};

/// Decides every condition, and how things stand as a whole.
pub(super) fn decide_conditions(facts: &Facts<'_>) -> (Vec<Stated>, Verdict) {
    let standing = decide_ready(facts);
    let (ready, progressing, verdict) =
        if facts.service.spec.paused { kstatus::while_paused(facts, standing) } else { standing };
    let (reconciling, stalled) =
        (kstatus::decide_reconciling(&progressing), kstatus::decide_stalled(&ready, verdict));
    let conditions = vec![
        ready,
        progressing,
        decide_secrets(facts),
        decide_database(facts),
        decide_schema(facts),
        decide_keys(facts),
        decide_revocation(facts),
        decide_mail(facts),
        decide_monitoring(facts),
        decide_login(facts),
        decide_shared(facts),
        decide_embedded(facts),
        decide_exposed(facts),
        decide_certificate(facts),
        decide_autoscaling(facts),
        kstatus::decide_paused(facts),
        reconciling,
        stalled,
    ];
    (conditions, verdict)
}

fn decide_secrets(facts: &Facts<'_>) -> Stated {
    match &facts.service.secrets {
        Ok(()) => state(
            types::SECRETS_RESOLVED,
            ConditionStatus::True,
            "AllFound",
            "Every Secret that the spec names was found.",
        ),
        Err(problem) => {
            state(types::SECRETS_RESOLVED, ConditionStatus::False, problem.reason, problem.message.clone())
        }
    }
}

fn decide_schema(facts: &Facts<'_>) -> Stated {
    let say = |status, reason, message: String| state(types::SCHEMA_MIGRATED, status, reason, message);
    match facts.schema {
        Schema::Migrated => {
            say(ConditionStatus::True, "Migrated", "The schema fits the server's image.".to_owned())
        }
        Schema::Migrating => {
            let (reason, message) = migrating(facts);
            say(ConditionStatus::False, reason, message)
        }
        Schema::WaitingForDatabase => say(
            ConditionStatus::False,
            "WaitingForDatabase",
            "The embedded PostgreSQL is starting; nothing to do.".to_owned(),
        ),
        Schema::Failed(why) => say(ConditionStatus::False, "MigrationFailed", migration_failed(facts, why)),
        Schema::Blocked(problem) => say(ConditionStatus::False, "Blocked", problem.message.clone()),
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
        return state(type_, ConditionStatus::False, "RedisUnusable", message);
    }
    match told.iter().find(|(_, revocation)| revocation.mode != "redis") {
        _ if told.is_empty() => no_answer(facts, type_),
        Some((pod, revocation)) => state(
            type_,
            ConditionStatus::False,
            "FallenBackToPostgres",
            format!(
                "Pod {pod} looks revocations up in PostgreSQL, which is safe but slower; bring Redis back: {}",
                revocation.message
            ),
        ),
        None => state(
            type_,
            ConditionStatus::True,
            "Redis",
            "Every replica that answers looks revocations up in Redis, which evicts nothing.",
        ),
    }
}

fn decide_mail(facts: &Facts<'_>) -> Stated {
    if !facts.service.spec.email.enabled {
        return state(
            types::MAIL_READY,
            ConditionStatus::False,
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
        return say(ConditionStatus::False, "Disabled", message.to_owned());
    }
    let name_conflicts = facts.name_conflicts.iter().any(|(kind, _)| *kind == Kind::ServiceMonitor);
    match facts.service.optional.presence(Kind::ServiceMonitor) {
        Presence::Present if name_conflicts => {
            say(ConditionStatus::False, "NameTaken", "The ServiceMonitor belongs to somebody else: delete or rename it.".to_owned())
        }
        Presence::Present => {
            say(ConditionStatus::True, "ServiceMonitorApplied", "Prometheus is told where to scrape.".to_owned())
        }
        Presence::Absent => say(
            ConditionStatus::False,
            "ServiceMonitorKindMissing",
            "The cluster has no ServiceMonitors: install the Prometheus Operator, or set spec.monitoring.serviceMonitor.enabled to false.".to_owned(),
        ),
        Presence::Unknown => say(
            ConditionStatus::Unknown,
            "CannotTell",
            format!("Whether the cluster knows ServiceMonitors cannot be told yet: the operator has to be allowed to watch the CustomResourceDefinition {}.", Kind::ServiceMonitor.definition()),
        ),
    }
}

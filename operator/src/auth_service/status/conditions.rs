//! Decides the conditions of an AuthService from facts alone. Pure.

use latchkey_crds::conditions as types;

use crate::auth_service::pace::QUEUED;
use crate::auth_service::render::Schema;
use crate::cluster::cache::Presence;
use crate::cluster::kinds::Kind;
use crate::names::Component;

use super::autoscaling::decide_autoscaling;
use super::certificate::decide_certificate;
use super::dependencies::{
    decide_database, decide_embedded, decide_login, decide_shared, decide_workload_identity,
};
use super::exposure::decide_exposed;
use super::facts::{
    ConditionStatus, Facts, Stated, Verdict, decide_dependency, migration_failed, no_answer, reports, state,
};
use super::keys::decide_keys;
use super::kstatus;
use super::obstacles;
use super::rollout::{Wait, decide_ready, migrating, waiting_for_database};

/// Decides all conditions, and the overall verdict.
pub(super) fn decide_conditions(facts: &Facts<'_>) -> (Vec<Stated>, Verdict) {
    let standing = decide_ready(facts);
    let (ready, progressing, verdict) =
        if facts.service.spec.paused { kstatus::while_paused(facts, standing) } else { standing };
    let progressing = match facts.applied.queued {
        Some(most) if verdict == Verdict::Settled => queued(most),
        _ => progressing,
    };
    let (reconciling, stalled) =
        (kstatus::decide_reconciling(facts, &progressing), kstatus::decide_stalled(&ready, verdict));
    let conditions = vec![
        ready,
        progressing,
        decide_secrets(facts),
        with_store(facts, Component::Postgres, decide_database(facts)),
        decide_schema(facts),
        decide_keys(facts),
        with_store(facts, Component::Redis, decide_revocation(facts)),
        decide_mail(facts),
        decide_workload_identity(facts),
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

/// The progress of a service whose rollout waits for its turn.
fn queued(most: usize) -> Stated {
    let message = format!(
        "An update by the operator waits until fewer than {most} AuthServices are being rolled out (--max-rollouts); the replicas continue to serve."
    );
    state(types::PROGRESSING, ConditionStatus::True, QUEUED, message)
}

/// The condition of a dependency with the reason why its embedded store does not run, if it does not.
fn with_store(facts: &Facts<'_>, component: Component, mut stated: Stated) -> Stated {
    if stated.status != ConditionStatus::True
        && let Some(obstacle) = obstacles::of_embedded(facts, component)
    {
        stated.message = format!("{} {}", stated.message, obstacle.message);
    }
    stated
}

fn decide_secrets(facts: &Facts<'_>) -> Stated {
    match &facts.service.secrets {
        Ok(()) => state(
            types::SECRETS_RESOLVED,
            ConditionStatus::True,
            "AllFound",
            "All Secrets referenced in the spec exist.",
        ),
        Err(problem) => {
            state(types::SECRETS_RESOLVED, ConditionStatus::False, problem.reason, problem.message.clone())
        }
    }
}

fn decide_schema(facts: &Facts<'_>) -> Stated {
    let stated = |status, reason, message: String| state(types::SCHEMA_MIGRATED, status, reason, message);
    match &facts.applied.schema {
        Schema::Migrated => stated(
            ConditionStatus::True,
            "Migrated",
            "The database schema is migrated to the version of the server image.".to_owned(),
        ),
        Schema::Migrating => {
            let Wait { reason, message, .. } = migrating(facts);
            stated(ConditionStatus::False, reason, message)
        }
        Schema::WaitingForDatabase => {
            let Wait { reason, message, .. } = waiting_for_database(facts);
            stated(ConditionStatus::False, reason, message)
        }
        Schema::Failed(why) => {
            stated(ConditionStatus::False, "MigrationFailed", migration_failed(facts, why))
        }
        Schema::Blocked(problem) => stated(ConditionStatus::False, "Blocked", problem.message.clone()),
    }
}

fn decide_revocation(facts: &Facts<'_>) -> Stated {
    let type_ = types::REVOCATION_STORE_READY;
    let reported: Vec<_> = reports(facts)
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
    match reported.iter().find(|(_, revocation)| revocation.mode != "redis") {
        _ if reported.is_empty() => no_answer(facts, type_),
        Some((pod, revocation)) => state(
            type_,
            ConditionStatus::False,
            "PostgresFallback",
            format!(
                "Pod {pod} looks up revocations in PostgreSQL, which is safe but slower. Restore Redis: {}",
                revocation.message
            ),
        ),
        None => state(
            type_,
            ConditionStatus::True,
            "Redis",
            "All reporting replicas look up revocations in Redis, with maxmemory-policy noeviction.",
        ),
    }
}

fn decide_mail(facts: &Facts<'_>) -> Stated {
    if !facts.service.spec.email.enabled {
        return state(
            types::MAIL_READY,
            ConditionStatus::False,
            "Disabled",
            "E-mail is disabled and password recovery returns 503: set spec.email.enabled to enable it.",
        );
    }
    decide_dependency(facts, types::MAIL_READY, "mail", "the SMTP server")
}

fn decide_monitoring(facts: &Facts<'_>) -> Stated {
    let stated =
        |status, reason, message: String| state(types::MONITORING_CONFIGURED, status, reason, message);
    if !facts.service.spec.monitoring.service_monitor.enabled {
        let message =
            "No ServiceMonitor is configured: set spec.monitoring.serviceMonitor.enabled to create one.";
        return stated(ConditionStatus::False, "Disabled", message.to_owned());
    }
    let name_conflicts = facts.applied.name_conflicts.iter().any(|(kind, _)| *kind == Kind::ServiceMonitor);
    match facts.external_state.optional.presence(Kind::ServiceMonitor) {
        Presence::Present if name_conflicts => {
            stated(ConditionStatus::False, "NameConflict", "A ServiceMonitor with this name exists and has another owner: delete or rename it.".to_owned())
        }
        Presence::Present => {
            stated(ConditionStatus::True, "ServiceMonitorApplied", "The ServiceMonitor is applied.".to_owned())
        }
        Presence::Absent => stated(
            ConditionStatus::False,
            "ServiceMonitorKindMissing",
            "The kind ServiceMonitor is not installed: install the Prometheus Operator, or set spec.monitoring.serviceMonitor.enabled to false.".to_owned(),
        ),
        Presence::Unknown => stated(
            ConditionStatus::Unknown,
            "KindUnknown",
            format!("It is not known yet whether the kind ServiceMonitor is installed: the operator needs permission to watch the CustomResourceDefinition {}.", Kind::ServiceMonitor.definition()),
        ),
    }
}

//! The conditions for the database, logins, a shared database and embedded stores. Pure.

use latchkey_crds::conditions as types;

use crate::auth_service::shared_database::{Sharing, shared_message};
use crate::names::Component;

use super::facts::{ConditionStatus, Facts, Stated, decide_dependency, reports, state};
use super::obstacles;

/// The reason for a failed login probe, also used by `Ready`.
pub(super) const LOGIN_FAILS: &str = "LoginFails";

/// The reason if the pools of all replicas together exceed what the database allows.
pub(super) const POOLS_EXCEED_LIMIT: &str = "PoolsExceedLimit";

/// The reason in `/status` for a database that does not accept writes.
const READ_ONLY: &str = "read_only";

/// The dependency in `/status` for reviews of tokens, and its reason if the server may not create them.
const TOKEN_REVIEWS: &str = "token_reviews";
const FORBIDDEN: &str = "forbidden";

pub(super) fn decide_database(facts: &Facts<'_>) -> Stated {
    let read_only = reports(facts).into_iter().find_map(|(pod, report)| {
        let database = report.dependencies.get("database")?;
        (!database.ready && database.reason.as_deref() == Some(READ_ONLY)).then_some((pod, database))
    });
    let Some((pod, database)) = read_only else {
        let mut stated = decide_dependency(facts, types::DATABASE_REACHABLE, "database", "PostgreSQL");
        let warnings = reports(facts).into_iter().filter_map(|(_, report)| report.database_pool.as_ref());
        let warning = warnings.map(|pool| &pool.warning).find(|warning| !warning.is_empty());
        if let Some(warning) = warning.filter(|_| stated.status == ConditionStatus::True) {
            stated.reason = POOLS_EXCEED_LIMIT;
            stated.message = format!(
                "{} The database may run out of connections: {}; the pool size is spec.database.poolSize.",
                stated.message,
                warning.trim_end_matches('.')
            );
        }
        return stated;
    };
    state(
        types::DATABASE_REACHABLE,
        ConditionStatus::False,
        "DatabaseReadOnly",
        format!("Pod {pod} cannot use its database: {}.", database.message.trim_end_matches('.')),
    )
}

pub(super) fn decide_login(facts: &Facts<'_>) -> Stated {
    let stated = |status, reason, message: String| state(types::LOGIN_WORKS, status, reason, message);
    if !facts.service.spec.login_probe.enabled {
        let message = "The login probe is disabled: set spec.loginProbe.enabled to detect failing logins.";
        return stated(ConditionStatus::Unknown, "Disabled", message.to_owned());
    }
    let reported: Vec<_> = reports(facts)
        .into_iter()
        .filter_map(|(pod, report)| Some((pod, report.dependencies.get("login")?)))
        .collect();
    match reported.iter().find(|(_, login)| !login.ready) {
        _ if reported.is_empty() => stated(
            ConditionStatus::Unknown,
            "NotProbed",
            "No replica has run the login probe yet; the condition Ready describes the state of the replicas.".to_owned(),
        ),
        Some((pod, login)) => stated(
            ConditionStatus::False,
            LOGIN_FAILS,
            format!(
                "The login probe of pod {pod} failed, {}: check its log. The probe is retried every 15 seconds.",
                login.message.trim_end_matches('.')
            ),
        ),
        None => stated(
            ConditionStatus::True,
            "Works",
            "The last login probe succeeded on every replica.".to_owned(),
        ),
    }
}

pub(super) fn decide_workload_identity(facts: &Facts<'_>) -> Stated {
    let type_ = types::WORKLOAD_IDENTITY_READY;
    if !facts.service.spec.workload_identity.enabled {
        let message = "Workload identity is disabled: set spec.workloadIdentity.enabled to accept AuthClients of the type workload.";
        return state(type_, ConditionStatus::False, "Disabled", message);
    }
    let is_forbidden = reports(facts).into_iter().any(|(_, report)| {
        let reviews = report.dependencies.get(TOKEN_REVIEWS);
        reviews.is_some_and(|reviews| !reviews.ready && reviews.reason.as_deref() == Some(FORBIDDEN))
    });
    if is_forbidden {
        let (namespace, name) = (&facts.service.namespace, facts.service.names.base());
        let message = format!(
            "The server may not review tokens, and workloads are answered with 503. A cluster administrator permits it with the value workloadIdentity.authServices of the chart, or with: kubectl create clusterrole latchkey-token-review --verb=create --resource=tokenreviews.authentication.k8s.io && kubectl create clusterrolebinding latchkey-token-review-{namespace}-{name} --clusterrole=latchkey-token-review --serviceaccount={namespace}:{name}"
        );
        return state(type_, ConditionStatus::False, "TokenReviewsForbidden", message);
    }
    decide_dependency(facts, type_, TOKEN_REVIEWS, "the API server for reviews of tokens")
}

pub(super) fn decide_shared(facts: &Facts<'_>) -> Stated {
    let stated = |status, reason, message: String| state(types::DATABASE_SHARED, status, reason, message);
    match &facts.external_state.sharing {
        Sharing::Exclusive => {
            stated(ConditionStatus::False, "Exclusive", "No other AuthService uses the database.".to_owned())
        }
        Sharing::Allowed(other) => stated(
            ConditionStatus::True,
            "Allowed",
            format!("The database is also used by {other}, which spec.database.allowShared allows."),
        ),
        Sharing::Undecided(other) => stated(
            ConditionStatus::True,
            "Undecided",
            format!(
                "The database is also used by {other}, and both serve: change the database of one of them, or set spec.database.allowShared if both should share accounts."
            ),
        ),
        Sharing::Refused { other, .. } => {
            stated(ConditionStatus::True, "DatabaseShared", shared_message(other))
        }
    }
}

pub(super) fn decide_embedded(facts: &Facts<'_>) -> Stated {
    let stated = |status, reason, message: String| state(types::EMBEDDED_STORES, status, reason, message);
    let service = facts.service;
    for (component, name) in [(Component::Postgres, "PostgreSQL"), (Component::Redis, "Redis")] {
        if let Some(obstacle) = obstacles::of_embedded(facts, component) {
            let message = format!("The embedded {name} does not run. {}", obstacle.message);
            return stated(ConditionStatus::True, "StoreNotStarting", message);
        }
    }
    match (&service.postgres, &service.redis) {
        (Some(postgres), _) if postgres.held_back.is_some() => {
            let wanted = postgres.held_back.as_deref().unwrap_or_default();
            stated(
                ConditionStatus::True,
                "PostgresImageHeld",
                format!(
                    "The embedded PostgreSQL keeps the image {}, because {wanted} cannot read its volume: migrate to an external database as described in docs/how-to/migrate-from-the-embedded-database.md, or configure the operator with an image of the same major version.",
                    postgres.image
                ),
            )
        }
        (Some(postgres), _) if postgres.storage.is_none() => stated(
            ConditionStatus::True,
            "NoVolume",
            "Accounts are stored in an embedded PostgreSQL without a volume and are lost with its pod: set spec.database.urlSecretRef for production use.".to_owned(),
        ),
        (Some(_), _) => stated(
            ConditionStatus::True,
            "SingleInstance",
            "Accounts are stored in an embedded PostgreSQL, a single instance without backups: set spec.database.urlSecretRef for production use.".to_owned(),
        ),
        (None, Some(_)) => stated(
            ConditionStatus::True,
            "SingleInstance",
            "Redis is embedded, a single instance; PostgreSQL replaces it while it is unavailable. Set spec.redis.urlSecretRef for production use.".to_owned(),
        ),
        (None, None) => {
            stated(ConditionStatus::False, "External", "PostgreSQL and Redis are external.".to_owned())
        }
    }
}

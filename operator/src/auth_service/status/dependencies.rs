//! What is said of the database, of logins, of a database that others name too, and of embedded stores. Pure.

use latchkey_crds::conditions as types;

use crate::auth_service::shared_database::{Sharing, shared_message};

use super::facts::{ConditionStatus, Facts, Stated, decide_dependency, reports, state};

/// The reason of a login that the replicas tried out and that failed; `Ready` has it too.
pub(super) const LOGIN_FAILS: &str = "LoginFails";

/// What `/status` calls a database that answers but accepts no writes.
const READ_ONLY: &str = "read_only";

pub(super) fn decide_database(facts: &Facts<'_>) -> Stated {
    let read_only = reports(facts).into_iter().find_map(|(pod, report)| {
        let database = report.dependencies.get("database")?;
        (!database.ready && database.reason.as_deref() == Some(READ_ONLY)).then_some((pod, database))
    });
    let Some((pod, database)) = read_only else {
        return decide_dependency(facts, types::DATABASE_REACHABLE, "database", "PostgreSQL");
    };
    state(
        types::DATABASE_REACHABLE,
        ConditionStatus::False,
        "DatabaseReadOnly",
        format!("Pod {pod} cannot work with its database: {}.", database.message.trim_end_matches('.')),
    )
}

pub(super) fn decide_login(facts: &Facts<'_>) -> Stated {
    let say = |status, reason, message: String| state(types::LOGIN_WORKS, status, reason, message);
    if !facts.service.spec.login_probe.enabled {
        let message =
            "No login is tried out: set spec.loginProbe.enabled to hear of one that fails before people do.";
        return say(ConditionStatus::Unknown, "Disabled", message.to_owned());
    }
    let told: Vec<_> = reports(facts)
        .into_iter()
        .filter_map(|(pod, report)| Some((pod, report.dependencies.get("login")?)))
        .collect();
    match told.iter().find(|(_, login)| !login.ready) {
        _ if told.is_empty() => say(
            ConditionStatus::Unknown,
            "NotTriedYet",
            "No replica has tried a login out yet; nothing to do.".to_owned(),
        ),
        Some((pod, login)) => say(
            ConditionStatus::False,
            LOGIN_FAILS,
            format!(
                "Pod {pod} tried a login out, and {}: read its log; it is tried again every 15 seconds.",
                login.message.trim_end_matches('.')
            ),
        ),
        None => say(
            ConditionStatus::True,
            "Works",
            "Every replica that has tried it out could log in, verify the token and log out.".to_owned(),
        ),
    }
}

pub(super) fn decide_shared(facts: &Facts<'_>) -> Stated {
    let say = |status, reason, message: String| state(types::DATABASE_SHARED, status, reason, message);
    match &facts.service.sharing {
        Sharing::Alone => {
            say(ConditionStatus::False, "Exclusive", "No other AuthService uses the database.".to_owned())
        }
        Sharing::Allowed(other) => say(
            ConditionStatus::True,
            "Allowed",
            format!("AuthService {other} uses the same database, which spec.database.allowShared allows."),
        ),
        Sharing::Refused(other) => say(ConditionStatus::True, "DatabaseShared", shared_message(other)),
    }
}

pub(super) fn decide_embedded(facts: &Facts<'_>) -> Stated {
    let say = |status, reason, message: String| state(types::EMBEDDED_STORES, status, reason, message);
    let service = facts.service;
    match (&service.postgres, &service.redis) {
        (Some(postgres), _) if postgres.held_back.is_some() => {
            let wanted = postgres.held_back.as_deref().unwrap_or_default();
            say(
                ConditionStatus::True,
                "PostgresImageHeld",
                format!(
                    "The embedded PostgreSQL stays at {}, since {wanted} could not read its volume: move to an external database as docs/how-to/migrate-from-the-embedded-database.md says, or give the operator an image of the same major version.",
                    postgres.image
                ),
            )
        }
        (Some(postgres), _) if postgres.storage.is_none() => say(
            ConditionStatus::True,
            "NoVolume",
            "The accounts are in an embedded PostgreSQL without a volume and are gone with its pod: set spec.database.urlSecretRef for anything but a trial.".to_owned(),
        ),
        (Some(_), _) => say(
            ConditionStatus::True,
            "SingleInstance",
            "The accounts are in an embedded PostgreSQL, one instance without backups: set spec.database.urlSecretRef for anything but a trial.".to_owned(),
        ),
        (None, Some(_)) => say(
            ConditionStatus::True,
            "SingleInstance",
            "Redis is embedded, one instance: while it is away PostgreSQL answers in its place; set spec.redis.urlSecretRef to have a better one.".to_owned(),
        ),
        (None, None) => {
            say(ConditionStatus::False, "NoneEmbedded", "PostgreSQL and Redis are not the operator's.".to_owned())
        }
    }
}

//! Updates the status of an AuthClient, and writes events.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use latchkey_crds::{AuthClient, AuthClientStatus, conditions as types};
use serde_json::json;

use super::context::Context;
use super::decide::{Facts, Stated, decide_conditions};
use crate::cluster::observed_client::ObservedClient;
use crate::error_chain::ErrorChain;
use crate::event_note::shortened;
use crate::fingerprint::fingerprint;
use crate::names::OPERATOR;

#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    /// The API server did not respond, or refused the status.
    #[error("the status could not be written: {0}")]
    Write(#[source] kube::Error),
    /// The AuthClient has changed since the cache read it.
    #[error("the AuthClient has changed in the meantime")]
    Outdated,
}

/// An event that is not the change of a condition.
#[derive(Debug, Clone)]
pub(crate) struct Incident {
    pub warning: bool,
    pub reason: &'static str,
    pub note: String,
}

/// What the status contains beside the conditions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    pub secret_name: Option<String>,
    pub rotated_at: Option<Timestamp>,
    pub incidents: Vec<Incident>,
}

/// Decides the conditions, and writes the status if it changed. `version` is the resource version of the AuthClient after
/// the writes of this reconcile.
///
/// # Errors
/// When the status could not be written.
pub(crate) async fn update(
    client: &AuthClient,
    facts: &Facts,
    details: Details,
    version: Option<String>,
    context: &Context,
) -> Result<(), StatusError> {
    let before = client.status.clone().unwrap_or_default();
    let generation = client.metadata.generation;
    let after = AuthClientStatus {
        observed_generation: generation,
        conditions: merge(&before.conditions, &decide_conditions(facts), generation, Timestamp::now()),
        client_id: Some(client.client_id()),
        secret_name: details.secret_name,
        secret_rotated_at: details.rotated_at.map(Time),
    };
    for incident in details.incidents {
        publish(client, incident, context).await;
    }
    if after == before {
        return Ok(());
    }
    write(client, &after, version, context).await?;
    let changed =
        after.conditions.iter().filter(|condition| is_worth_an_event(&before.conditions, condition));
    for condition in changed {
        let incident = Incident {
            warning: condition.status != "True",
            reason: "",
            note: format!("{}: {}", condition.type_, condition.message),
        };
        publish_as(client, incident, &condition.reason, context).await;
    }
    Ok(())
}

/// The decided conditions with their transition times. Conditions of other writers are kept.
fn merge(before: &[Condition], stated: &[Stated], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let ours = stated.iter().map(|stated| {
        let known = before.iter().find(|known| known.type_ == stated.type_ && known.status == stated.status);
        // The API server stores seconds.
        let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
        Condition {
            type_: stated.type_.to_owned(),
            status: stated.status.to_owned(),
            reason: stated.reason.to_owned(),
            message: shortened(stated.message.clone()),
            observed_generation: generation,
            last_transition_time: known.map_or(now, |known| known.last_transition_time.clone()),
        }
    });
    let others = before.iter().filter(|known| !types::OF_CLIENTS.contains(&known.type_.as_str())).cloned();
    ours.chain(others).collect()
}

/// The reasons of conditions that pass without an action of a user.
const TEMPORARY: [&str; 6] =
    ["Deleting", "Pending", "NotLoaded", "NotAccepted", "SecretNotReady", "AuthServiceNotReady"];

/// Whether a change of a condition is worth an event: a problem that a user has to solve, its end, and `Ready`.
fn is_worth_an_event(before: &[Condition], condition: &Condition) -> bool {
    let known = before.iter().find(|known| known.type_ == condition.type_);
    let same = |known: &Condition| (&known.status, &known.reason) == (&condition.status, &condition.reason);
    if known.is_some_and(same) {
        return false;
    }
    let is_problem =
        |condition: &Condition| condition.status != "True" && !TEMPORARY.contains(&condition.reason.as_str());
    if condition.type_ == types::READY {
        // The problems are in the events of the other conditions.
        return condition.status == "True";
    }
    is_problem(condition) || (condition.status == "True" && known.is_some_and(is_problem))
}

async fn write(
    client: &AuthClient,
    status: &AuthClientStatus,
    version: Option<String>,
    context: &Context,
) -> Result<(), StatusError> {
    let api: Api<ObservedClient> =
        Api::namespaced(context.client.clone(), &client.namespace().unwrap_or_default());
    // A merge patch keeps fields that it does not contain, so that unset fields are sent as null.
    let AuthClientStatus { observed_generation, conditions, client_id, secret_name, secret_rotated_at } =
        status;
    let change = json!({
        // The version keeps the status of a deleted AuthClient from a new one of the same name.
        "metadata": { "resourceVersion": version },
        "status": {
            "observedGeneration": observed_generation,
            "conditions": conditions,
            "clientId": client_id,
            "secretName": secret_name,
            "secretRotatedAt": secret_rotated_at,
        },
    });
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    match api.patch_status(&client.name_any(), &parameters, &Patch::Merge(&change)).await {
        Ok(_) => {
            context.metrics.status_updated();
            context.forget_gone();
            Ok(())
        }
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 409 => Err(StatusError::Outdated),
        Err(error) => Err(StatusError::Write(error)),
    }
}

async fn publish(client: &AuthClient, incident: Incident, context: &Context) {
    let reason = incident.reason;
    publish_as(client, incident, reason, context).await;
}

/// A failed event does not fail the reconcile.
async fn publish_as(client: &AuthClient, incident: Incident, reason: &str, context: &Context) {
    let event = Event {
        type_: if incident.warning { EventType::Warning } else { EventType::Normal },
        reason: reason.to_owned(),
        // Events that differ only in their note are aggregated under the first note.
        action: format!("Reconcile-{}", &fingerprint([incident.note.as_bytes()])[..8]),
        note: Some(shortened(incident.note)),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &client.object_ref(&())).await {
        tracing::warn!(error = %ErrorChain(&error), "could not write an event");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn problems_and_their_ends_are_events() {
        let refused = condition("Accepted", "False", "NotAllowed");
        let accepted = condition("Accepted", "True", "Accepted");
        let loading = condition("Registered", "False", "NotLoaded");
        let loaded = condition("Registered", "True", "Loaded");
        for (before, after, worth) in [
            (None, &refused, true),
            (Some(&refused), &refused, false),
            (Some(&refused), &accepted, true),
            (None, &accepted, false),
            (None, &loading, false),
            (Some(&loading), &loaded, false),
            (None, &condition("Ready", "True", "Available"), true),
            (None, &condition("Ready", "False", "NotAllowed"), false),
        ] {
            let before: Vec<Condition> = before.into_iter().cloned().collect();
            assert_eq!(is_worth_an_event(&before, after), worth, "{before:?} {after:?}");
        }
    }

    #[test]
    fn the_transition_time_changes_with_the_status() {
        let stated = |status| [Stated { type_: types::READY, status, reason: "A", message: String::new() }];
        let now = Timestamp::from_second(9).unwrap();
        let mut before = vec![condition(types::READY, "True", "B"), condition("Theirs", "True", "C")];
        let after = merge(&before, &stated("True"), Some(1), now);
        assert_eq!(after[0].last_transition_time, before[0].last_transition_time);
        assert_eq!(after[1], before[1]);
        before = merge(&before, &stated("False"), Some(1), now);
        assert_eq!(before[0].last_transition_time.0, now);
    }
}

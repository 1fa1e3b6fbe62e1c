//! Reports an AuthService that this release cannot read, or one that owns an object that cannot be read. Nothing else
//! is changed: the keys, the running servers and the rest of the status stay.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::ApiResource;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use latchkey_crds::{AuthService, conditions as types};
use serde_json::{Value, json};

use crate::auth_service::context::Context;
use crate::cluster::lenient::AnyObject;
use crate::cluster::observed::{Observed, Unreadable};
use crate::error_chain::ErrorChain;
use crate::event_note::shortened;
use crate::fingerprint::fingerprint;
use crate::names::OPERATOR;

use super::error::StatusError;

/// The reason of the conditions and of the event.
pub(super) const REASON: &str = "UnreadableResource";
/// The interval at which the report is checked, in case another client removed it.
const AGAIN: Duration = Duration::from_mins(5);

/// A readable AuthService that is not reconciled because one of its objects cannot be read.
pub(crate) fn unreadable(auth_service: &AuthService, problem: Box<str>) -> Unreadable {
    let conditions = auth_service.status.iter().flat_map(|status| &status.conditions);
    // A value parsed from JSON can be serialized as JSON.
    let conditions =
        conditions.map(|condition| serde_json::to_value(condition).unwrap_or_default()).collect();
    Unreadable { problem, conditions: Some(conditions), counts_generations: true }
}

/// Reports the problem in an event and in the conditions `Ready`, `Reconciling` and `Stalled`.
///
/// # Errors
/// When the status could not be written.
pub(crate) async fn report_unreadable(
    observed: &Observed,
    unreadable: &Unreadable,
    context: &Context,
) -> Result<Action, StatusError> {
    let message = message(&unreadable.problem);
    let now = Timestamp::now();
    let generation = observed.meta().generation;
    let reported = unreadable.conditions.as_ref().map(|before| merge(before, &message, generation, now));
    if reported.is_some() && reported == unreadable.conditions {
        return Ok(Action::requeue(AGAIN));
    }
    let uid = observed.uid().unwrap_or_default();
    let is_known = context.with_memory(&uid, |memory| {
        memory.reported.replace(unreadable.problem.clone()).is_some_and(|before| before == unreadable.problem)
    });
    if !is_known {
        tracing::warn!(
            namespace = observed.namespace(),
            name = observed.name_any(),
            problem = &*unreadable.problem,
            "an AuthService cannot be read; the operator does not change it"
        );
        publish(observed, &message, context).await;
    }
    if let Some(conditions) = reported {
        write(observed, unreadable, conditions, context).await?;
    }
    Ok(Action::requeue(AGAIN))
}

fn message(problem: &str) -> String {
    shortened(format!(
        "This release of the operator cannot read {problem} and changes nothing until it can. Run the release that wrote it, or correct the field."
    ))
}

/// The conditions with new values of `Ready`, `Reconciling` and `Stalled`; all others are kept. `Reconciling` must not stay
/// `True`: kstatus would report progress.
pub(super) fn merge(before: &[Value], message: &str, generation: Option<i64>, now: Timestamp) -> Vec<Value> {
    let ours = [(types::READY, "False"), (types::RECONCILING, "False"), (types::STALLED, "True")];
    let is_ours = |condition: &&Value| ours.iter().any(|(kind, _)| condition["type"] == *kind);
    let stated = ours.iter().map(|(kind, status)| {
        let known = before.iter().find(|known| known["type"] == *kind && known["status"] == *status);
        let since = known.and_then(|known| known["lastTransitionTime"].as_str()).map(str::to_owned);
        let seconds = || now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut condition = json!({
            "type": kind, "status": status, "reason": REASON, "message": message,
            "lastTransitionTime": since.unwrap_or_else(seconds),
        });
        if let Some(generation) = generation {
            condition["observedGeneration"] = generation.into();
        }
        condition
    });
    stated.chain(before.iter().filter(|condition| !is_ours(condition)).cloned()).collect()
}

async fn write(
    observed: &Observed,
    unreadable: &Unreadable,
    conditions: Vec<Value>,
    context: &Context,
) -> Result<(), StatusError> {
    let namespace = observed.namespace().unwrap_or_default();
    let api: Api<AnyObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &ApiResource::erase::<AuthService>(&()));
    let mut status = json!({ "conditions": conditions });
    if unreadable.counts_generations {
        status["observedGeneration"] = json!(observed.meta().generation);
    }
    // With the resource version: the list is replaced as a whole and must not revert a concurrent change, and a new
    // AuthService of the same name must not get it.
    let metadata = json!({ "resourceVersion": observed.resource_version() });
    let change = json!({ "metadata": metadata, "status": status });
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    match api.patch_status(&observed.name_any(), &parameters, &Patch::Merge(&change)).await {
        Ok(_) => {
            context.metrics.status_updated();
            Ok(())
        }
        // Deleted in the meantime.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        // The API server finds the rest of the object invalid; the event reports the problem.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 400 | 422) => {
            tracing::debug!(
                code = answer.code,
                "the API server refused the conditions of an AuthService that cannot be read"
            );
            Ok(())
        }
        Err(error) => Err(StatusError::Write(error)),
    }
}

/// A failed event is not retried.
async fn publish(observed: &Observed, message: &str, context: &Context) {
    let event = Event {
        type_: EventType::Warning,
        reason: REASON.to_owned(),
        // The recorder aggregates events with the same action and keeps the first note.
        action: format!("Reconcile-{}", &fingerprint([message.as_bytes()])[..8]),
        note: Some(message.to_owned()),
        secondary: None,
    };
    if let Err(error) = context.recorder(true).publish(&event, &observed.object_ref(&())).await {
        tracing::warn!(error = %ErrorChain(&error), "could not write an event");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_conditions_stay_and_a_second_report_changes_nothing() {
        let theirs = json!({"type": "example.com/Later", "status": {"level": 3}});
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let now: Timestamp = "2026-02-03T04:05:06Z".parse().unwrap();
        let reconciling = json!({"type": "Reconciling", "status": "True"});
        let before = [theirs.clone(), reconciling, ready, json!("neither")];
        let after = merge(&before, "m", Some(3), now);
        assert_eq!(after.len(), 5);
        assert_eq!(after[1]["status"], "False", "kstatus would report progress");
        assert_eq!(
            (&after[0]["status"], &after[0]["lastTransitionTime"]),
            (&json!("False"), &json!("2026-02-03T04:05:06Z"))
        );
        assert!(after.contains(&theirs) && after.contains(&json!("neither")));
        assert_eq!(merge(&after, "m", Some(3), Timestamp::UNIX_EPOCH), after);
    }

    #[test]
    fn a_message_fits_into_an_event() {
        let message = message(&"ä".repeat(5000));
        assert!(message.len() <= 1024 && message.ends_with('…'));
    }
}

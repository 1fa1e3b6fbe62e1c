//! Updates the status: decides the conditions, and writes the status and events if something changed.

mod api_certificate;
mod attempt;
mod autoscaling;
mod certificate;
mod claim;
mod conditions;
mod dependencies;
#[cfg(test)]
mod documented_tests;
mod error;
mod exposure;
#[cfg(test)]
mod exposure_tests;
mod facts;
mod keys;
#[cfg(test)]
mod keys_tests;
mod kstatus;
#[cfg(test)]
mod kstatus_tests;
mod name_conflict;
mod obstacles;
#[cfg(test)]
mod obstacles_tests;
#[cfg(test)]
mod overall_tests;
mod rollout;
#[cfg(test)]
mod rollout_tests;
mod scaling;
mod termination_message;
#[cfg(test)]
mod tests;
mod transition;
mod unreadable;
#[cfg(test)]
mod values_tests;
#[cfg(test)]
mod workload_identity_tests;

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use latchkey_crds::auth_service::SchemaRange;
use latchkey_crds::{AuthService, AuthServiceStatus, conditions as types};
use serde_json::json;

use crate::auth_service::apply::Applied;
use crate::auth_service::context::{Context, WrittenStatus};
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::image::tag_of;
use crate::auth_service::server_reports::{Answer, Report, can_query_any};
use crate::auth_service::shared_database::Sharing;
use crate::auth_service::validate::{Validated, service_url};
use crate::cluster::observed::Observed;
use crate::error_chain::ErrorChain;
use crate::event_note::shortened;
use crate::fingerprint::fingerprint;
use crate::names::OPERATOR;

use conditions::decide_conditions;
use facts::Facts;

pub(crate) use claim::write_claim;
pub(crate) use error::StatusError;
pub(crate) use unreadable::{report_unreadable, unreadable};

/// Added to a delay after which something counts as late.
const MOMENT: Duration = Duration::from_millis(100);

/// Decides the conditions and writes the status if it changed. Returns the time until the next reconcile.
///
/// # Errors
/// When the status could not be written, or the API server refused an object.
pub(crate) async fn update(
    auth_service: &AuthService,
    service: &Validated,
    external_state: &ExternalState,
    applied: &Applied,
    context: &Context,
) -> Result<Duration, StatusError> {
    let before = context.last_status(auth_service);
    let now = Timestamp::now();
    let template_observed = context.with_memory(&auth_service.uid().unwrap_or_default(), |memory| {
        scaling::note_template(&mut memory.observed_template, applied.deployment.as_ref())
    });
    let facts = Facts { service, external_state, applied, before: &before, template_observed, now };
    let (stated, verdict) = decide_conditions(&facts);
    let generation = auth_service.metadata.generation;
    let conditions = transition::merge(&before.conditions, &stated, generation, now);
    let (signing_keys, key_requests) = keys::signing_keys(&before, service, applied, now);
    let after = AuthServiceStatus {
        observed_generation: generation,
        conditions,
        signing_keys,
        key_requests,
        selector: Some(service.names.selector_text()),
        endpoint: Some(service_url(&service.spec, &service.name, &service.namespace)),
        version: version(&external_state.answers, applied.deployment.as_ref()),
        schema_version: external_state
            .reports()
            .filter_map(|report| report.schema_version)
            .max()
            .or(before.schema_version),
        schema_range: schema_range(external_state.reports()).or(before.schema_range),
        replicas: observed(applied.deployment.as_ref(), |status| status.replicas),
        ready_replicas: observed(applied.deployment.as_ref(), |status| status.ready_replicas),
        operator: before.operator.clone(),
        operator_request: before.operator_request.clone(),
    };
    if after != before {
        write(auth_service, &after, context).await?;
        publish(auth_service, &before.conditions, &after.conditions, context).await;
    }
    if let Some(problem) = applied.refused.first() {
        return Err(StatusError::Refused(problem.message.clone()));
    }
    if let Some((kind, name)) = applied.contested.first() {
        return Err(StatusError::Contested { kind: *kind, name: name.clone() });
    }
    let in_progress_for = transition::true_for(&after.conditions, types::PROGRESSING, now);
    let mut requeue_after = verdict.requeue_after(can_query_any(&external_state.pods), in_progress_for);
    for sooner in [external_state.warnings.again, obstacles::next_stall(&facts)].into_iter().flatten() {
        // Not at the same moment: a clock with a finer resolution than the stored times must have passed it.
        requeue_after = requeue_after.min(sooner + MOMENT);
    }
    if matches!(external_state.sharing, Sharing::Refused { for_now: true, .. }) {
        requeue_after = requeue_after.min(facts::PRECEDENCE_CHECK);
    }
    Ok(service.rotation.due.map_or(requeue_after, |due| due.min(requeue_after)))
}

fn observed(
    deployment: Option<&Deployment>,
    field: impl Fn(&k8s_openapi::api::apps::v1::DeploymentStatus) -> Option<i32>,
) -> i32 {
    deployment.and_then(|deployment| deployment.status.as_ref()).and_then(field).unwrap_or(0)
}

/// The version that the replicas report, if they agree; otherwise the tag of the Deployment's image.
fn version(answers: &[Answer], deployment: Option<&Deployment>) -> Option<String> {
    let mut versions: Vec<&str> =
        answers.iter().filter_map(|answer| answer.report.as_ref()?.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    if let [version] = versions[..] {
        return Some(version.to_owned());
    }
    let pod = deployment?.spec.template.spec.as_ref()?;
    // Admission may have put a container of its own first.
    let server = pod.containers.iter().find(|container| container.name == "server")?;
    tag_of(server.image.as_deref()?).map(str::to_owned)
}

/// The range that the newest server reports.
fn schema_range<'a>(reports: impl Iterator<Item = &'a Report>) -> Option<SchemaRange> {
    reports
        .filter_map(|report| {
            Some(SchemaRange {
                required: report.required_schema_version?,
                oldest_server: report.oldest_tolerated_server?,
            })
        })
        .max_by_key(|range| range.required)
}

async fn write(
    auth_service: &AuthService,
    status: &AuthServiceStatus,
    context: &Context,
) -> Result<(), StatusError> {
    // The response is parsed leniently: a status that was written must not count as failed.
    let api: Api<Observed> =
        Api::namespaced(context.client.clone(), &auth_service.namespace().unwrap_or_default());
    // A merge patch keeps fields that it does not contain, so that unset fields are sent as null.
    let AuthServiceStatus {
        observed_generation,
        conditions,
        replicas,
        ready_replicas,
        selector,
        version,
        schema_version,
        schema_range,
        endpoint,
        signing_keys,
        key_requests,
        // See [`write_claim`].
        operator: _,
        operator_request: _,
    } = status;
    let change = json!({
        // The API server ignores the uid in a patch of the status of a custom resource. The version keeps the status of
        // a deleted AuthService from a new one of the same name.
        "metadata": { "resourceVersion": context.last_version(auth_service) },
        "status": {
            "observedGeneration": observed_generation,
            "conditions": conditions,
            "replicas": replicas,
            "readyReplicas": ready_replicas,
            "selector": selector,
            "version": version,
            "schemaVersion": schema_version,
            "schemaRange": schema_range,
            "endpoint": endpoint,
            "signingKeys": signing_keys,
            "keyRequests": key_requests,
        },
    });
    let parameters = PatchParams { field_manager: Some(OPERATOR.to_owned()), ..PatchParams::default() };
    context.cache.written_statuses.note(&auth_service.uid().unwrap_or_default(), status);
    let response = api.patch_status(&auth_service.name_any(), &parameters, &Patch::Merge(&change)).await;
    let version = match response {
        Ok(written) => written.resource_version(),
        // Deleted in the meantime.
        Err(kube::Error::Api(answer)) if answer.code == 404 => return Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 409 => return Err(StatusError::Outdated),
        Err(error) => return Err(StatusError::Write(error)),
    };
    context.metrics.status_updated();
    context.forget_gone();
    context.with_memory(&auth_service.uid().unwrap_or_default(), |memory| {
        // The write names the resource version, so that the spec was the present one.
        memory.verified_generation = auth_service.metadata.generation;
        memory.status = auth_service.resource_version().map(|replaced| WrittenStatus {
            replaced,
            version,
            status: status.clone(),
        });
    });
    Ok(())
}

/// A failed event does not fail the reconcile.
async fn publish(auth_service: &AuthService, before: &[Condition], after: &[Condition], context: &Context) {
    let reference = auth_service.object_ref(&());
    for condition in transition::worth_an_event(before, after) {
        let warning = facts::is_warning(condition);
        let note = format!("{}: {}", condition.type_, condition.message);
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: condition.reason.clone(),
            // Events that differ only in their note are aggregated under the first note. The hash distinguishes, for
            // example, two different missing Secrets.
            action: format!("Reconcile-{}", &fingerprint([note.as_bytes()])[..8]),
            note: Some(shortened(note)),
            secondary: None,
        };
        if let Err(error) = context.recorder(warning).publish(&event, &reference).await {
            tracing::warn!(error = %ErrorChain(&error), "could not write an event");
        }
    }
}

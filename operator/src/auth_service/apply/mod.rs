//! Applies the rendered objects: writes the objects that differ, deletes those that are not needed any more, and does
//! not touch objects of other owners.
//!
//! Objects are compared with the cache, so that a steady state sends no requests. The cache may lag; preconditions
//! make that safe: updates and deletions carry the uid of the inspected object, removals of fields carry its resource
//! version as well, and the first write of an object fails if an object of that name exists (see `creation`).
//! `object` applies a single object.

mod applied;
mod creation;
mod difference;
mod inspection;
mod keys_hint;
mod object;
mod pause;
mod refusal;
mod repair;
mod replicas;
mod work;

use kube::core::DynamicObject;

use crate::auth_service::context::Context;
use crate::auth_service::render::{Action, Exposing, NetworkPolicies, Objects};
use crate::auth_service::validate::Validated;

use work::Work;

pub(crate) use applied::Applied;
pub(crate) use pause::observe;
pub(crate) use work::ApplyError;

/// Applies the rendered objects.
///
/// # Errors
/// When the API server does not respond. Objects that it refuses permanently are part of the result.
pub async fn apply(service: &Validated, objects: Objects, context: &Context) -> Result<Applied, ApplyError> {
    // Destructured without `..`, so that an object that is rendered but not applied does not compile.
    let Objects {
        service_account,
        jwt_keys,
        keys_hints,
        smtp,
        trusted_cas,
        settings,
        service: api_service,
        management_service,
        postgres_credentials,
        postgres_service,
        postgres,
        redis_credentials,
        redis_service,
        redis,
        migration,
        deployment,
        disruption_budget,
        service_monitor,
        autoscaler,
        exposing: Exposing { certificate, ingress, http_route },
        network_policies:
            NetworkPolicies {
                server: server_policy,
                migration: migration_policy,
                postgres: postgres_policy,
                redis: redis_policy,
            },
        schema,
    } = objects;
    let mut work =
        Work { service, context, name_conflicts: Vec::new(), refused: Vec::new(), contested: Vec::new() };
    // Objects that pods mount or run as come before the pods; Services come before the names in them are resolved.
    for action in
        [service_account, jwt_keys, smtp, trusted_cas, settings, postgres_credentials, redis_credentials]
    {
        work.reconcile_object(action).await?;
    }
    for action in [server_policy, migration_policy, postgres_policy, redis_policy] {
        work.reconcile_object(action).await?;
    }
    // A pod must not mount a Secret of another owner that has the expected name, and must not start without its
    // NetworkPolicy.
    let mut may_run = work.name_conflicts.is_empty() && work.refused.is_empty();
    // The first pods must not start with a ConfigMap or NetworkPolicy to which another writer added fields. An
    // existing Deployment is still applied, because otherwise that writer could prevent repairs of it.
    may_run &= work.contested.is_empty() || service.deployment.is_some();
    if may_run {
        for hint in &keys_hints {
            work.hint(hint).await;
        }
    }
    for action in [api_service, management_service, postgres_service, redis_service] {
        work.reconcile_object(action).await?;
    }
    // Before the Deployment, so that the Deployment and the autoscaler never both set the number of replicas.
    work.reconcile_object(autoscaler).await?;
    let mut current = service.deployment.clone();
    if may_run {
        work.reconcile_object(postgres).await?;
        work.reconcile_object(redis).await?;
        if let Action::Apply(job) | Action::Create(job) = &migration {
            work.delete_superseded_jobs(&job.name).await?;
        }
        work.reconcile_object(migration).await?;
        // After the Job: the server is not ready on a schema older than its own.
        if let Some(object) = work.reconcile_object(deployment).await? {
            current = DynamicObject::clone(&object).try_parse().ok();
        }
    }
    work.reconcile_object(disruption_budget).await?;
    work.reconcile_object(service_monitor).await?;
    for action in [certificate, ingress, http_route] {
        work.reconcile_object(action).await?;
    }
    let Work { name_conflicts, refused, contested, .. } = work;
    Ok(Applied { deployment: current, schema, name_conflicts, refused, contested, pending: false })
}

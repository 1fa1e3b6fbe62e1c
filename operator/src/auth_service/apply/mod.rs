//! Makes the cluster hold what was rendered: writes what differs, deletes what is no longer wanted, touches
//! nothing that is not ours.
//!
//! What differs is decided against the watches' stores, so that a steady state asks nothing. The stores may lag;
//! that is made up for by the API server itself: what is changed or deleted carries the uid that was judged, a removal
//! carries the resource version as well, and what is made for the first time is asked for in a way that fails where
//! something of that name exists (see `creation`). How one object is made what was rendered: `object`.

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

/// Makes the cluster hold what was rendered.
///
/// # Errors
/// When the API server did not answer; what it refuses for good is part of the result.
pub async fn apply(service: &Validated, objects: Objects, context: &Context) -> Result<Applied, ApplyError> {
    // Taken apart without `..`: an object that is built and forgotten here does not compile.
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
    // What pods mount or run as comes before the pods; Services before the names in them are looked up.
    for wanted in
        [service_account, jwt_keys, smtp, trusted_cas, settings, postgres_credentials, redis_credentials]
    {
        work.reconcile_object(wanted).await?;
    }
    for wanted in [server_policy, migration_policy, postgres_policy, redis_policy] {
        work.reconcile_object(wanted).await?;
    }
    // A pod must never mount a stranger's Secret because it has the name of one of ours, nor start without the policy
    // that it is to be kept by.
    let mut may_run = work.name_conflicts.is_empty() && work.refused.is_empty();
    // The first pods do not start with settings, or behind a policy, that hold what another writer added. A Deployment
    // that exists is repaired all the same, or that writer would keep it from being repaired.
    may_run &= work.contested.is_empty() || service.deployment.is_some();
    if may_run {
        for hint in &keys_hints {
            work.hint(hint).await;
        }
    }
    for wanted in [api_service, management_service, postgres_service, redis_service] {
        work.reconcile_object(wanted).await?;
    }
    // Before the Deployment, so that never both it and the autoscaler set the number of replicas.
    work.reconcile_object(autoscaler).await?;
    let mut current = service.deployment.clone();
    if may_run {
        work.reconcile_object(postgres).await?;
        work.reconcile_object(redis).await?;
        if let Action::Apply(job) | Action::Create(job) = &migration {
            work.delete_superseded_jobs(&job.name).await?;
        }
        work.reconcile_object(migration).await?;
        // After the Job: the server refuses to be ready on a schema that is older than itself.
        if let Some(object) = work.reconcile_object(deployment).await? {
            current = DynamicObject::clone(&object).try_parse().ok();
        }
    }
    work.reconcile_object(disruption_budget).await?;
    work.reconcile_object(service_monitor).await?;
    for wanted in [certificate, ingress, http_route] {
        work.reconcile_object(wanted).await?;
    }
    let Work { name_conflicts, refused, contested, .. } = work;
    Ok(Applied { deployment: current, schema, name_conflicts, refused, contested, pending: false })
}

//! Renders every object of a validated AuthService. Pure: no client, and the time is an argument.

mod autoscaler;
mod backend_tls_policy;
mod certificate;
mod clients;
mod clients_hint;
mod deployment;
mod disruption_budget;
mod exposure;
mod hint;
mod http_route;
mod ingress;
mod jwks;
mod jwt_keys;
mod keys_hint;
mod kubernetes_access;
mod management_service;
mod metadata;
mod migration_job;
mod network_policies;
mod phases;
mod pod;
mod pod_template;
mod postgres;
mod redis;
mod rendered;
mod required_key;
mod route;
mod schema;
mod service;
mod service_account;
mod service_monitor;
mod settings;
mod smtp;
mod trusted_cas;

#[cfg(test)]
mod pod_template_tests;
#[cfg(test)]
mod tests;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::auth_service::dereference::ExternalState;
use crate::auth_service::migration::{Evidence, Migration, decide_migration};
use crate::auth_service::server_reports::Report;
use crate::auth_service::validate::{Embedded, Server, Validated};
use crate::cluster::kinds::Kind;
use crate::credentials::StorePassword;
use crate::names::MIGRATED_ANNOTATION;
use crate::signing_keys::KeyMaterial;

pub(crate) use hint::Hint;
pub(crate) use phases::{Objects, Phase};
pub(crate) use rendered::{Action, RenderError, Rendered};
pub(crate) use schema::Schema;

/// Renders all objects. `now` decides whether a failed migration is retried.
///
/// # Errors
/// When an object cannot be serialized.
pub(crate) fn render(
    service: &Validated,
    external_state: &ExternalState,
    now: Timestamp,
) -> Result<Objects, RenderError> {
    let (schema, migration) = build_migration(service, external_state, now)?;
    let moved = schema == Schema::Migrated;
    let [postgres_credentials, postgres_service, postgres] = build_postgres(service, moved)?;
    let [redis_credentials, redis_service, redis] = build_redis(service, moved)?;
    let mut prerequisites = vec![
        Action::apply(service, Kind::ServiceAccount, &service_account::build(service))?,
        // Before every pod that signs with them or verifies by them.
        build_keys(service)?,
        build_clients(service)?,
        build_smtp(service)?,
        build_trusted_cas(service)?,
        build_settings(service)?,
        postgres_credentials,
        redis_credentials,
    ];
    prerequisites.extend(network_policies::build(service, external_state, &schema)?);
    let network = vec![
        // After the keys and before the pods.
        build_jwks(service)?,
        Action::apply(service, Kind::Service, &service::build(service))?,
        Action::apply(service, Kind::Service, &management_service::build(service))?,
        postgres_service,
        redis_service,
        // Before the Deployment, so that the Deployment and the autoscaler never both set the number of replicas.
        build_autoscaler(service)?,
    ];
    let mut workloads = vec![postgres, redis];
    workloads.extend(migration);
    // After the Job: the server is not ready on a schema older than its own.
    workloads.push(build_deployment(service, external_state, &schema, now)?);
    let mut companions =
        vec![build_disruption_budget(service)?, build_service_monitor(service, external_state)?];
    companions.extend(exposure::build(service, external_state)?);
    let phases = vec![
        (Phase::Prerequisites, prerequisites),
        (Phase::Network, network),
        (Phase::Workloads, workloads),
        (Phase::Companions, companions),
    ];
    let hints = [keys_hint::build(service, external_state), clients_hint::build(service, external_state)];
    Ok(Objects { phases, hints: hints.concat(), schema })
}

fn build_smtp(service: &Validated) -> Result<Action, RenderError> {
    let name = service.names.smtp();
    match &service.server {
        Ok(Server { smtp: Some(login), .. }) => {
            Action::apply(service, Kind::Secret, &smtp::build(service, login))
        }
        Ok(_) => Ok(Action::delete(Kind::Secret, name)),
        Err(_) => Ok(Action::keep(Kind::Secret, name)),
    }
}

fn build_trusted_cas(service: &Validated) -> Result<Action, RenderError> {
    let name = service.names.trusted_cas();
    match &service.server {
        Ok(Server { trusted_cas: Some(certificates), .. }) => {
            Action::apply(service, Kind::Secret, &trusted_cas::build(service, certificates))
        }
        Ok(_) => Ok(Action::delete(Kind::Secret, name)),
        Err(_) => Ok(Action::keep(Kind::Secret, name)),
    }
}

fn build_settings(service: &Validated) -> Result<Action, RenderError> {
    match &service.server {
        Ok(server) => Action::apply(service, Kind::ConfigMap, &settings::build(service, &server.settings)),
        Err(_) => Ok(Action::keep(Kind::ConfigMap, service.names.settings())),
    }
}

fn build_deployment(
    service: &Validated,
    external_state: &ExternalState,
    schema: &Schema,
    now: Timestamp,
) -> Result<Action, RenderError> {
    let base = service.names.base();
    match (&service.server, &service.keys, schema) {
        (_, KeyMaterial::Lost(_), _) => Ok(Action::keep(Kind::Deployment, base)),
        (Ok(server), _, Schema::Migrated) => {
            let required = required_key::build(service, external_state, now);
            let deployment = deployment::build(service, server, required.as_ref());
            Action::apply(service, Kind::Deployment, &deployment)
        }
        _ => Ok(match service.replicas() {
            // A service that was scaled to zero for a move to another database must not serve from the old one.
            Some(replicas) if replicas == 0 || !external_state.is_stopped() => {
                Action::Scale { name: base.to_owned(), replicas }
            }
            _ => Action::keep(Kind::Deployment, base),
        }),
    }
}

fn build_disruption_budget(service: &Validated) -> Result<Action, RenderError> {
    let budget = (service.most_replicas() > 1).then(|| disruption_budget::build(service));
    Action::apply_or_delete(service, Kind::PodDisruptionBudget, budget)
}

fn build_service_monitor(service: &Validated, external_state: &ExternalState) -> Result<Action, RenderError> {
    let enabled = service.spec.monitoring.service_monitor.enabled;
    Action::of_optional_kind(
        service,
        external_state,
        Kind::ServiceMonitor,
        enabled.then(|| service_monitor::build(service)),
    )
}

fn build_autoscaler(service: &Validated) -> Result<Action, RenderError> {
    let autoscaler = service.autoscaling().map(|autoscaling| autoscaler::build(service, autoscaling));
    Action::apply_or_delete(service, Kind::HorizontalPodAutoscaler, autoscaler)
}

fn build_keys(service: &Validated) -> Result<Action, RenderError> {
    match &service.keys {
        KeyMaterial::Generated(keys) => Action::create(service, &jwt_keys::build(service, keys)),
        KeyMaterial::Stored(keys) => {
            Ok(Action::apply(service, Kind::Secret, &jwt_keys::build(service, keys))?
                .adopting()
                .based_on(service.rotation.based_on.clone()))
        }
        KeyMaterial::Lost(_) => Ok(Action::keep(Kind::Secret, service.names.jwt_keys())),
    }
}

/// Without the issuer or the keys the existing one stays: its keys still verify.
fn build_jwks(service: &Validated) -> Result<Action, RenderError> {
    match (&service.server, service.keys.key_set()) {
        (Ok(server), Some(keys)) => {
            let public = jwks::build(service, server.settings.issuer(), keys);
            Action::apply(service, Kind::ConfigMap, &public)
        }
        _ => Ok(Action::keep(Kind::ConfigMap, service.names.jwks())),
    }
}

fn build_clients(service: &Validated) -> Result<Action, RenderError> {
    let clients = &service.clients;
    let Some(registry) = clients.registry.as_ref().filter(|_| clients.is_known) else {
        return Ok(Action::keep(Kind::Secret, service.names.clients()));
    };
    let secret = clients::build(service, registry);
    if clients.exists {
        Ok(Action::apply(service, Kind::Secret, &secret)?.based_on(clients.based_on.clone()))
    } else {
        // The ids of its credentials cannot be generated again.
        Action::create(service, &secret)
    }
}

/// The migration Job, and the Jobs for other images and databases, which it supersedes.
fn build_migration(
    service: &Validated,
    external_state: &ExternalState,
    now: Timestamp,
) -> Result<(Schema, Vec<Action>), RenderError> {
    let server = match &service.server {
        Ok(server) => server,
        Err(problem) => return Ok((Schema::Blocked(problem.clone()), Vec::new())),
    };
    let name = service.names.migration(&server.migration);
    let missed = external_state.reports().any(Report::misses_schema);
    let evidence = Evidence {
        jobs: &external_state.jobs,
        pods: &external_state.migration_pods,
        recorded: external_state.deployment.as_ref().and_then(migrated),
        missed,
    };
    let state = decide_migration(evidence, &name, &server.migration_inputs, now);
    let waits = service.postgres.is_some() && !external_state.postgres_ready;
    let schema = match &state {
        Migration::Done | Migration::Left => Schema::Migrated,
        Migration::Failed(message) => Schema::Failed(message.clone()),
        Migration::Due if waits => return Ok((Schema::WaitingForDatabase, Vec::new())),
        Migration::Due | Migration::Running => Schema::Migrating,
        Migration::Stale => return Ok((Schema::Migrating, vec![Action::delete(Kind::Job, name)])),
    };
    let superseded = external_state.jobs.iter().map(ResourceExt::name_any).filter(|job| *job != name);
    let mut actions: Vec<Action> = superseded.map(|job| Action::delete(Kind::Job, job)).collect();
    let exists = external_state.jobs.iter().any(|job| job.name_any() == name);
    match state {
        Migration::Left => actions.push(Action::delete(Kind::Job, name)),
        // It may have been deleted since, for example after a time to live, or lost its label or its owner.
        Migration::Done if !exists => {
            let job = Action::apply(service, Kind::Job, &migration_job::build(service, server, &name))?;
            actions.push(job.if_it_exists());
        }
        _ => actions.push(Action::apply(service, Kind::Job, &migration_job::build(service, server, &name))?),
    }
    Ok((schema, actions))
}

/// The migration after which the Deployment was written.
fn migrated(deployment: &Deployment) -> Option<&str> {
    deployment.annotations().get(MIGRATED_ANNOTATION).map(String::as_str)
}

/// The actions for the Secret, the Service and the StatefulSet of an embedded store.
type Store = [Action; 3];

/// An embedded store that the spec no longer uses is deleted when `moved` reports that the new database has a schema;
/// until then the running replicas continue to use it.
fn build_postgres(service: &Validated, moved: bool) -> Result<Store, RenderError> {
    let name = service.names.postgres();
    let Some(store) = &service.postgres else { return Ok(if moved { gone(&name) } else { kept(&name) }) };
    let Some(credentials) = postgres::build_credentials(service, store) else { return Ok(kept(&name)) };
    Ok([
        credentials_action(service, store, &credentials)?,
        Action::apply(service, Kind::Service, &postgres::build_service(service))?,
        Action::apply(service, Kind::StatefulSet, &postgres::build_stateful_set(service, store))?,
    ])
}

fn build_redis(service: &Validated, moved: bool) -> Result<Store, RenderError> {
    let name = service.names.redis();
    let Some(store) = &service.redis else { return Ok(if moved { gone(&name) } else { kept(&name) }) };
    let Some(credentials) = redis::build_credentials(service, store) else { return Ok(kept(&name)) };
    Ok([
        credentials_action(service, store, &credentials)?,
        Action::apply(service, Kind::Service, &redis::build_service(service))?,
        Action::apply(service, Kind::StatefulSet, &redis::build_stateful_set(service, store))?,
    ])
}

fn credentials_action(
    service: &Validated,
    store: &Embedded,
    secret: &k8s_openapi::api::core::v1::Secret,
) -> Result<Action, RenderError> {
    match store.password {
        StorePassword::Generated(_) => Action::create(service, secret),
        StorePassword::Stored(_) | StorePassword::Lost => {
            Ok(Action::apply(service, Kind::Secret, secret)?.adopting())
        }
    }
}

fn gone(name: &str) -> Store {
    [
        Action::delete(Kind::Secret, name),
        Action::delete(Kind::Service, name),
        Action::delete(Kind::StatefulSet, name),
    ]
}

fn kept(name: &str) -> Store {
    [
        Action::keep(Kind::Secret, name),
        Action::keep(Kind::Service, name),
        Action::keep(Kind::StatefulSet, name),
    ]
}

//! Renders every object of a validated AuthService. Pure: no client, and the time is an argument.

mod autoscaler;
mod certificate;
mod deployment;
mod disruption_budget;
mod exposure;
mod http_route;
mod ingress;
mod jwt_keys;
mod keys_hint;
mod management_service;
mod metadata;
mod migration_job;
mod network_policies;
mod pod;
mod postgres;
mod redis;
mod rendered;
mod schema;
mod service;
mod service_account;
mod service_monitor;
mod settings;
mod smtp;
mod trusted_cas;

#[cfg(test)]
mod tests;

use k8s_openapi::jiff::Timestamp;

use crate::auth_service::migration::{Migration, decide_migration};
use crate::auth_service::server_reports::Report;
use crate::auth_service::validate::{Embedded, Server, Validated};
use crate::cluster::cache::Presence;
use crate::cluster::kinds::Kind;
use crate::credentials::StorePassword;
use crate::signing_keys::KeyMaterial;

pub(crate) use exposure::Exposing;
pub(crate) use keys_hint::KeysHint;
pub(crate) use network_policies::NetworkPolicies;
pub(crate) use rendered::{Action, RenderError, Rendered};
pub(crate) use schema::Schema;

/// Every object that an AuthService can own, with the action for it.
#[derive(Debug, Clone)]
pub struct Objects {
    pub service_account: Action,
    pub jwt_keys: Action,
    pub keys_hints: Vec<KeysHint>,
    pub smtp: Action,
    pub trusted_cas: Action,
    pub settings: Action,
    pub service: Action,
    pub management_service: Action,
    pub postgres_credentials: Action,
    pub postgres_service: Action,
    pub postgres: Action,
    pub redis_credentials: Action,
    pub redis_service: Action,
    pub redis: Action,
    pub migration: Action,
    pub deployment: Action,
    pub disruption_budget: Action,
    pub service_monitor: Action,
    pub autoscaler: Action,
    pub exposing: Exposing,
    pub network_policies: NetworkPolicies,
    /// The state of the schema, for the status.
    pub schema: Schema,
}

impl Objects {
    /// The actions for all objects. Destructured without `..`, so that a new object cannot be left out.
    pub fn actions(&self) -> [&Action; 25] {
        let Self {
            service_account,
            jwt_keys,
            keys_hints: _,
            smtp,
            trusted_cas,
            settings,
            service,
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
            schema: _,
        } = self;
        [
            service_account,
            jwt_keys,
            smtp,
            trusted_cas,
            settings,
            service,
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
            certificate,
            ingress,
            http_route,
            server_policy,
            migration_policy,
            postgres_policy,
            redis_policy,
        ]
    }
}

/// Renders all objects. `now` decides whether a failed migration is retried.
///
/// # Errors
/// When an object cannot be serialized.
pub(crate) fn render(service: &Validated, now: Timestamp) -> Result<Objects, RenderError> {
    let base = service.names.base();
    let (schema, migration) = build_migration(service, now)?;
    let moved = schema == Schema::Migrated;
    let (postgres_credentials, postgres_service, postgres) = build_postgres(service, moved)?;
    let (redis_credentials, redis_service, redis) = build_redis(service, moved)?;
    Ok(Objects {
        service_account: Action::apply(service, Kind::ServiceAccount, &service_account::build(service))?,
        jwt_keys: build_keys(service)?,
        keys_hints: keys_hint::build(service),
        smtp: match &service.server {
            Ok(Server { smtp: Some(login), .. }) => {
                Action::apply(service, Kind::Secret, &smtp::build(service, login))?
            }
            Ok(_) => Action::delete(Kind::Secret, service.names.smtp()),
            Err(_) => Action::keep(Kind::Secret, service.names.smtp()),
        },
        trusted_cas: match &service.server {
            Ok(Server { trusted_cas: Some(certificates), .. }) => {
                Action::apply(service, Kind::Secret, &trusted_cas::build(service, certificates))?
            }
            Ok(_) => Action::delete(Kind::Secret, service.names.trusted_cas()),
            Err(_) => Action::keep(Kind::Secret, service.names.trusted_cas()),
        },
        settings: match &service.server {
            Ok(server) => {
                Action::apply(service, Kind::ConfigMap, &settings::build(service, &server.settings))?
            }
            Err(_) => Action::keep(Kind::ConfigMap, service.names.settings()),
        },
        service: Action::apply(service, Kind::Service, &service::build(service))?,
        management_service: Action::apply(service, Kind::Service, &management_service::build(service))?,
        postgres_credentials,
        postgres_service,
        postgres,
        redis_credentials,
        redis_service,
        redis,
        migration,
        deployment: match (&service.server, &service.keys, &schema) {
            (_, KeyMaterial::Lost(_), _) => Action::keep(Kind::Deployment, base),
            (Ok(server), _, Schema::Migrated) => {
                Action::apply(service, Kind::Deployment, &deployment::build(service, server))?
            }
            _ => match service.replicas() {
                // A service that was scaled to zero for a move to another database must not serve from the old one.
                Some(replicas) if replicas == 0 || !service.is_stopped() => {
                    Action::Scale { name: base.to_owned(), replicas }
                }
                _ => Action::keep(Kind::Deployment, base),
            },
        },
        disruption_budget: if service.most_replicas() > 1 {
            Action::apply(service, Kind::PodDisruptionBudget, &disruption_budget::build(service))?
        } else {
            Action::delete(Kind::PodDisruptionBudget, base)
        },
        service_monitor: match (
            service.optional.presence(Kind::ServiceMonitor),
            service.spec.monitoring.service_monitor.enabled,
        ) {
            (Presence::Present, true) => {
                Action::apply(service, Kind::ServiceMonitor, &service_monitor::build(service))?
            }
            (Presence::Present, false) => Action::delete(Kind::ServiceMonitor, base),
            (Presence::Absent | Presence::Unknown, _) => Action::keep(Kind::ServiceMonitor, base),
        },
        autoscaler: match service.autoscaling() {
            Some(autoscaling) => Action::apply(
                service,
                Kind::HorizontalPodAutoscaler,
                &autoscaler::build(service, autoscaling),
            )?,
            None => Action::delete(Kind::HorizontalPodAutoscaler, base),
        },
        exposing: exposure::build(service)?,
        network_policies: network_policies::build(service, &schema)?,
        schema,
    })
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

fn build_migration(service: &Validated, now: Timestamp) -> Result<(Schema, Action), RenderError> {
    let kept = || Action::keep(Kind::Job, "");
    let server = match &service.server {
        Ok(server) => server,
        Err(problem) => return Ok((Schema::Blocked(problem.clone()), kept())),
    };
    let name = service.names.migration(&server.migration);
    let missed =
        service.answers.iter().filter_map(|answer| answer.report.as_ref()).any(Report::misses_schema);
    let state = decide_migration(&service.jobs, &name, &server.migration_inputs, missed, now);
    let waits = service.postgres.as_ref().is_some_and(|postgres| !postgres.ready);
    let job = || Action::apply(service, Kind::Job, &migration_job::build(service, server, &name));
    Ok(match state {
        Migration::Done => (Schema::Migrated, job()?),
        Migration::Failed(message) => (Schema::Failed(message), job()?),
        Migration::Due if waits => (Schema::WaitingForDatabase, kept()),
        Migration::Due | Migration::Running => (Schema::Migrating, job()?),
        Migration::Stale => (Schema::Migrating, Action::delete(Kind::Job, name)),
    })
}

type Store = (Action, Action, Action);

/// An embedded store that the spec no longer uses is deleted when `moved` reports that the new database has a schema;
/// until then the running replicas continue to use it.
fn build_postgres(service: &Validated, moved: bool) -> Result<Store, RenderError> {
    let name = service.names.postgres();
    let Some(store) = &service.postgres else { return Ok(if moved { gone(&name) } else { kept(&name) }) };
    let Some(credentials) = postgres::build_credentials(service, store) else { return Ok(kept(&name)) };
    Ok((
        credentials_action(service, store, &credentials)?,
        Action::apply(service, Kind::Service, &postgres::build_service(service))?,
        Action::apply(service, Kind::StatefulSet, &postgres::build_stateful_set(service, store))?,
    ))
}

fn build_redis(service: &Validated, moved: bool) -> Result<Store, RenderError> {
    let name = service.names.redis();
    let Some(store) = &service.redis else { return Ok(if moved { gone(&name) } else { kept(&name) }) };
    let Some(credentials) = redis::build_credentials(service, store) else { return Ok(kept(&name)) };
    Ok((
        credentials_action(service, store, &credentials)?,
        Action::apply(service, Kind::Service, &redis::build_service(service))?,
        Action::apply(service, Kind::StatefulSet, &redis::build_stateful_set(service, store))?,
    ))
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
    (
        Action::delete(Kind::Secret, name),
        Action::delete(Kind::Service, name),
        Action::delete(Kind::StatefulSet, name),
    )
}

fn kept(name: &str) -> Store {
    (
        Action::keep(Kind::Secret, name),
        Action::keep(Kind::Service, name),
        Action::keep(Kind::StatefulSet, name),
    )
}

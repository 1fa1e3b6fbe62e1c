//! The Job that migrates the database schema to the version of the server image. It only has the database URL, the
//! client certificate for the database, and the authorities for the database's certificate.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec};
use kube::core::ObjectMeta;

use super::deployment::pull_policy;
use super::metadata::metadata;
use super::{pod, trusted_cas};
use crate::auth_service::migration::CONTAINER;
use crate::auth_service::validate::{Server, Validated, paths};
use crate::names::{Component, DATABASE_ANNOTATION, INPUTS_ANNOTATION, SERVER_USER};

pub(super) fn build(service: &Validated, server: &Server, name: &str) -> Job {
    let mut labels = service.spec.migration.labels.clone();
    labels.extend(service.names.labels(Component::Migration));
    let spec = &service.spec.pod;
    let migration = &service.spec.migration;
    let mut volumes = vec![pod::secret_volume("database", &service.database_url, "url")];
    let mut mounts = vec![pod::read_only("database", paths::DATABASE)];
    let mut variables = vec![variable("DATABASE_URL_FILE", format!("{}/url", paths::DATABASE))];
    if server.trusted_cas.is_some() {
        let (volume, mount) = trusted_cas::files(service);
        volumes.push(volume);
        mounts.push(mount);
        variables.push(variable("EXTRA_CA_FILE", format!("{}/{}", paths::TRUSTED_CAS, paths::CA_FILE)));
    }
    let certificate =
        pod::client_certificate(service.database_client(), "database-client", paths::DATABASE_CLIENT);
    if let Some((volume, mount)) = certificate {
        volumes.push(volume);
        mounts.push(mount);
        let file = |name: &str| format!("{}/{name}", paths::DATABASE_CLIENT);
        variables.push(variable("DATABASE_CLIENT_CERT_FILE", file(paths::CERTIFICATE_FILE)));
        variables.push(variable("DATABASE_CLIENT_KEY_FILE", file(paths::PRIVATE_KEY_FILE)));
    }
    let mut metadata = metadata(service, name, Component::Migration);
    metadata.annotations = Some(BTreeMap::from([
        (INPUTS_ANNOTATION.to_owned(), server.migration_inputs.clone()),
        (DATABASE_ANNOTATION.to_owned(), server.database.clone()),
    ]));
    Job {
        metadata,
        spec: Some(JobSpec {
            // Retries with increasing delay, for a database that is still starting.
            backoff_limit: Some(migration.backoff_limit),
            active_deadline_seconds: Some(server.migration_deadline),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: (!migration.annotations.is_empty()).then(|| migration.annotations.clone()),
                    ..ObjectMeta::default()
                }),
                spec: Some(PodSpec {
                    // A failed pod is kept, so that its log can be read.
                    restart_policy: Some("Never".to_owned()),
                    containers: vec![Container {
                        name: CONTAINER.to_owned(),
                        image: Some(service.image.clone()),
                        image_pull_policy: Some(pull_policy(service)),
                        args: Some(vec!["migrate".to_owned()]),
                        env: Some(variables),
                        // The last line of its log becomes the termination message.
                        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
                        resources: Some(
                            migration
                                .resources
                                .clone()
                                .unwrap_or_else(|| pod::resources("50m", "64Mi", "256Mi")),
                        ),
                        security_context: Some(pod::container_security()),
                        volume_mounts: Some(mounts),
                        ..Container::default()
                    }],
                    volumes: Some(volumes),
                    service_account_name: Some(service.names.base().to_owned()),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    image_pull_secrets: pod::pull_secrets(service),
                    security_context: Some(pod::pod_security(service, SERVER_USER)),
                    node_selector: (!spec.node_selector.is_empty()).then(|| spec.node_selector.clone()),
                    tolerations: (!spec.tolerations.is_empty()).then(|| spec.tolerations.clone()),
                    priority_class_name: spec.priority_class_name.clone(),
                    ..PodSpec::default()
                }),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

fn variable(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() }
}

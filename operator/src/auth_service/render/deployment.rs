//! The Deployment of the server.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, ConfigMapVolumeSource, Container, ContainerPort, EnvFromSource, HTTPGetAction,
    PodSpec, PodTemplateSpec, Probe, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ObjectMeta;

use super::metadata::metadata;
use super::{kubernetes_access, pod, pod_template, trusted_cas};
use crate::auth_service::validate::{SecretKey, Server, Validated, paths};
use crate::names::{
    CHECKSUM_ANNOTATION, CLIENTS_KEY, CLIENTS_VOLUME, Component, DATABASE_ANNOTATION, HTTP_PORT, KEYS_KEY,
    MANAGEMENT_PORT, MIGRATED_ANNOTATION, REQUIRED_KEY_ANNOTATION, SERVER_CONTAINER, SERVER_USER,
};
use crate::signing_keys::RequiredKey;

/// The server derives the number of its hash workers from it (`latchkey_config::HashLimits`).
const DEFAULT_MEMORY_LIMIT: &str = "256Mi";

pub(super) fn build(service: &Validated, server: &Server, required: Option<&RequiredKey>) -> Deployment {
    let mut metadata = metadata(service, service.names.base(), Component::Server);
    metadata.annotations = Some(
        [
            (DATABASE_ANNOTATION.to_owned(), server.database.clone()),
            // The Deployment is only written when its migration is done.
            (MIGRATED_ANNOTATION.to_owned(), service.names.migration(&server.migration)),
        ]
        .into(),
    );
    Deployment {
        metadata,
        spec: DeploymentSpec {
            replicas: service.replicas(),
            selector: selector(service),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(service.spec.rollout.max_unavailable.clone()),
                    max_surge: Some(service.spec.rollout.max_surge.clone()),
                }),
            }),
            revision_history_limit: Some(3),
            template: pod_template::with_override(
                template(service, server, required),
                service.pod_template.as_deref(),
            ),
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    }
}

fn selector(service: &Validated) -> LabelSelector {
    LabelSelector {
        match_labels: Some(service.names.selector(Component::Server)),
        ..LabelSelector::default()
    }
}

fn template(service: &Validated, server: &Server, required: Option<&RequiredKey>) -> PodTemplateSpec {
    let spec = &service.spec.pod;
    let mut labels = spec.labels.clone();
    labels.extend(service.names.labels(Component::Server));
    let mut annotations = spec.annotations.clone();
    annotations.insert(CHECKSUM_ANNOTATION.to_owned(), server.checksum.clone());
    // Only the operator decides it: it is evidence for the rotation of the keys.
    annotations.remove(REQUIRED_KEY_ANNOTATION);
    annotations.extend(required.map(|required| (REQUIRED_KEY_ANNOTATION.to_owned(), required.to_text())));
    let (volumes, mounts) = files(service, server);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container(service, mounts, required)],
            volumes: Some(volumes),
            service_account_name: Some(service.names.base().to_owned()),
            automount_service_account_token: Some(false),
            // Otherwise a Service named smtp would add the environment variable SMTP_PORT=tcp://….
            enable_service_links: Some(false),
            image_pull_secrets: pod::pull_secrets(service),
            security_context: Some(pod::pod_security(service, SERVER_USER)),
            termination_grace_period_seconds: Some(30),
            node_selector: (!spec.node_selector.is_empty()).then(|| spec.node_selector.clone()),
            tolerations: (!spec.tolerations.is_empty()).then(|| spec.tolerations.clone()),
            affinity: spec.affinity.clone(),
            topology_spread_constraints: Some(spread(service)),
            priority_class_name: spec.priority_class_name.clone(),
            ..PodSpec::default()
        }),
    }
}

fn container(service: &Validated, mounts: Vec<VolumeMount>, required: Option<&RequiredKey>) -> Container {
    let port = |name: &str, port: i32| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    Container {
        name: SERVER_CONTAINER.to_owned(),
        image: Some(service.image.clone()),
        image_pull_policy: Some(pull_policy(service)),
        args: Some(vec!["serve".to_owned()]),
        env_from: Some(vec![EnvFromSource {
            config_map_ref: Some(ConfigMapEnvSource { name: service.names.settings(), optional: None }),
            ..EnvFromSource::default()
        }]),
        ports: Some(vec![
            port(service.service_port().0, HTTP_PORT),
            port("management", i32::from(MANAGEMENT_PORT)),
        ]),
        // The server listens before its dependencies respond; the minute is for very busy nodes.
        startup_probe: Some(probe(&startup_path(required), 1, 60)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        // Each second, so that a replica whose first probe fails during its start is ready soon after it; a replica
        // is taken out of service after four failures.
        readiness_probe: Some(probe("/readyz", 1, 4)),
        // If the server exits at startup, the last line of its log becomes the termination message.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        resources: Some(
            service
                .spec
                .pod
                .resources
                .clone()
                .unwrap_or_else(|| pod::resources("50m", "64Mi", DEFAULT_MEMORY_LIMIT)),
        ),
        security_context: Some(pod::container_security()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// The startup probe of a pod that must have loaded a key succeeds only then. Only this probe: later versions of the set
/// may lack the key.
fn startup_path(required: Option<&RequiredKey>) -> String {
    required.map_or_else(
        || "/livez".to_owned(),
        |required| format!("/startup?key={}&phase={}", required.kid, required.phase.as_str()),
    )
}

pub(super) fn pull_policy(service: &Validated) -> String {
    service.spec.image.pull_policy.map_or("IfNotPresent", |policy| policy.as_str()).to_owned()
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("management".to_owned()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// The Secret of the keys is mounted as a directory: a file mounted with subPath is not updated.
fn files(service: &Validated, server: &Server) -> (Vec<Volume>, Vec<VolumeMount>) {
    let keys = SecretKey { secret: service.names.jwt_keys(), key: KEYS_KEY.to_owned() };
    let mut volumes = vec![
        pod::secret_volume("keys", &keys, KEYS_KEY),
        pod::secret_volume("database", &service.database_url, "url"),
        pod::secret_volume("redis", &service.redis_url, "url"),
    ];
    let mut mounts = vec![
        pod::read_only("keys", paths::KEYS),
        pod::read_only("database", paths::DATABASE),
        pod::read_only("redis", paths::REDIS),
    ];
    if service.clients.is_mounted() {
        let registry = SecretKey { secret: service.names.clients(), key: CLIENTS_KEY.to_owned() };
        volumes.push(pod::optional(pod::secret_volume(CLIENTS_VOLUME, &registry, CLIENTS_KEY)));
        mounts.push(pod::read_only(CLIENTS_VOLUME, paths::CLIENTS));
    }
    if service.spec.workload_identity.enabled {
        volumes.push(kubernetes_access::volume());
        mounts.push(pod::read_only(kubernetes_access::VOLUME, paths::KUBERNETES));
    }
    if server.smtp.is_some() {
        let items = [("username", "username"), ("password", "password")];
        volumes.push(pod::secret_volume_of("smtp", &service.names.smtp(), &items));
        mounts.push(pod::read_only("smtp", paths::SMTP));
    }
    let certificates = [
        pod::client_certificate(service.database_client(), "database-client", paths::DATABASE_CLIENT),
        pod::client_certificate(service.redis_client(), "redis-client", paths::REDIS_CLIENT),
    ];
    for (volume, mount) in certificates.into_iter().flatten() {
        volumes.push(volume);
        mounts.push(mount);
    }
    if let Some(secret) = service.tls_secret() {
        let items = [("tls.crt", paths::CERTIFICATE_FILE), ("tls.key", paths::PRIVATE_KEY_FILE)];
        volumes.push(pod::secret_volume_of("tls", &secret, &items));
        mounts.push(pod::read_only("tls", paths::TLS));
    }
    if let Some(pepper) = &service.spec.accounts.imported_password_pepper_secret_ref {
        volumes.push(pod::secret_volume_of("pepper", &pepper.name, &[(pepper.key.as_str(), "pepper")]));
        mounts.push(pod::read_only("pepper", paths::PEPPER));
    }
    if server.trusted_cas.is_some() {
        let (volume, mount) = trusted_cas::files(service);
        volumes.push(volume);
        mounts.push(mount);
    }
    if let Some(admin) = &service.spec.bootstrap_admin {
        volumes.push(pod::secret_volume_of("admin", &admin.secret_ref.name, &[("password", "password")]));
        mounts.push(pod::read_only("admin", paths::BOOTSTRAP_ADMIN));
    }
    if let Some(client) = &service.spec.introspection_client {
        let items = [(client.secret_ref.key.as_str(), "secret")];
        volumes.push(pod::secret_volume_of("introspection", &client.secret_ref.name, &items));
        mounts.push(pod::read_only("introspection", paths::INTROSPECTION));
    }
    if let Some(texts) =
        service.spec.email.templates_config_map_ref.as_ref().filter(|_| service.spec.email.enabled)
    {
        volumes.push(Volume {
            name: "mail-texts".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: texts.name.clone(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        });
        mounts.push(pod::read_only("mail-texts", paths::TEMPLATES));
    }
    (volumes, mounts)
}

fn spread(service: &Validated) -> Vec<TopologySpreadConstraint> {
    let given = &service.spec.pod.topology_spread_constraints;
    let constraints = if given.is_empty() {
        vec![evenly("topology.kubernetes.io/zone"), evenly("kubernetes.io/hostname")]
    } else {
        given.clone()
    };
    constraints
        .into_iter()
        .map(|constraint| TopologySpreadConstraint {
            label_selector: constraint.label_selector.or_else(|| Some(selector(service))),
            ..constraint
        })
        .collect()
}

/// Preferred, not required, so that a cluster with one node or zone works. The pods of a new revision are spread
/// separately from those of the old one.
fn evenly(topology_key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology_key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    }
}

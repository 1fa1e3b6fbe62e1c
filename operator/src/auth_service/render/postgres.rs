//! The embedded PostgreSQL: one instance, for evaluation. The image must be compatible with the official image.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, ExecAction, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec,
    PodTemplateSpec, Probe, Secret, Service, ServicePort, ServiceSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ObjectMeta;
use latchkey_config::SecretText;

use super::metadata::{metadata, retained, retained_annotations, retained_labels};
use super::pod;
use crate::auth_service::validate::{Embedded, Validated};
use crate::fingerprint::fingerprint;
use crate::names::{CHECKSUM_ANNOTATION, Component, STORE_USER};

const PORT: i32 = 5432;
const DATA: &str = "/var/lib/postgresql/data";
const CREDENTIALS: &str = "/etc/latchkey/postgres";
const USER: &str = "latchkey";

/// `None` if the password is lost.
pub(super) fn build_credentials(service: &Validated, store: &Embedded) -> Option<Secret> {
    let (password, url) = (store.password.text()?, store.url.as_ref()?);
    let username = SecretText::new(USER);
    let mut metadata = metadata(service, service.names.postgres(), Component::Postgres);
    if store.retained {
        // The volume cannot be used without its password: both are retained, or neither.
        metadata = retained(service, Component::Postgres, metadata);
    }
    Some(Secret {
        metadata,
        data: Some(pod::secret_data([("username", &username), ("password", password), ("url", url)])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

pub(super) fn build_service(service: &Validated) -> Service {
    Service {
        metadata: metadata(service, service.names.postgres(), Component::Postgres),
        spec: Some(ServiceSpec {
            selector: Some(service.names.selector(Component::Postgres)),
            type_: Some("ClusterIP".to_owned()),
            ip_family_policy: Some(pod::IP_FAMILIES.to_owned()),
            ports: Some(vec![ServicePort {
                name: Some("postgres".to_owned()),
                port: PORT,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String("postgres".to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

pub(super) fn build_stateful_set(service: &Validated, store: &Embedded) -> StatefulSet {
    let labels = service.names.labels(Component::Postgres);
    // Its hash reveals nothing, because the password is generated. A keyed hash would replace the pod when the key is lost.
    let password = store.password.text().map_or("", SecretText::expose);
    let items = [("password", "password")];
    let mut volumes = vec![
        pod::secret_volume_of("credentials", &service.names.postgres(), &items),
        pod::empty_volume("run"),
        pod::empty_volume("tmp"),
    ];
    if store.storage.is_none() {
        volumes.push(pod::empty_volume("data"));
    }
    StatefulSet {
        metadata: metadata(service, service.names.postgres(), Component::Postgres),
        spec: StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(service.names.postgres()),
            selector: LabelSelector {
                match_labels: Some(service.names.selector(Component::Postgres)),
                ..LabelSelector::default()
            },
            // Without an owner reference the claims would outlive the AuthService.
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(if store.retained { "Retain" } else { "Delete" }.to_owned()),
                when_scaled: Some("Retain".to_owned()),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(
                        [(CHECKSUM_ANNOTATION.to_owned(), fingerprint([password.as_bytes()]))].into(),
                    ),
                    ..ObjectMeta::default()
                }),
                spec: Some(PodSpec {
                    containers: vec![container(service, store)],
                    volumes: Some(volumes),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    image_pull_secrets: pod::pull_secrets(service),
                    security_context: Some(pod::pod_security(service, STORE_USER)),
                    termination_grace_period_seconds: Some(60),
                    ..PodSpec::default()
                }),
            },
            volume_claim_templates: store.storage.as_deref().map(|size| vec![claim(service, store, size)]),
            ..StatefulSetSpec::default()
        },
        ..StatefulSet::default()
    }
}

fn container(service: &Validated, store: &Embedded) -> Container {
    let resources = service.spec.database.embedded.as_ref().and_then(|embedded| embedded.resources.clone());
    let variable = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    };
    Container {
        name: "postgres".to_owned(),
        image: Some(store.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        env: Some(vec![
            variable("POSTGRES_USER", USER),
            variable("POSTGRES_DB", "latchkey"),
            variable("POSTGRES_PASSWORD_FILE", &format!("{CREDENTIALS}/password")),
            // A new volume may contain lost+found, which initdb refuses.
            variable("PGDATA", &format!("{DATA}/pgdata")),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some("postgres".to_owned()),
            container_port: PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        // Over TCP: during initialization of the image, its server only listens on the socket.
        startup_probe: Some(probe(1, 120)),
        readiness_probe: Some(probe(5, 2)),
        liveness_probe: Some(probe(20, 6)),
        resources: Some(resources.unwrap_or_else(|| pod::resources("50m", "128Mi", "512Mi"))),
        security_context: Some(pod::container_security()),
        volume_mounts: Some(vec![
            pod::read_only("credentials", CREDENTIALS),
            pod::mount("data", DATA),
            pod::mount("run", "/var/run/postgresql"),
            pod::mount("tmp", "/tmp"),
        ]),
        ..Container::default()
    }
}

fn probe(period_seconds: i32, failure_threshold: i32) -> Probe {
    let command = ["pg_isready", "-h", "127.0.0.1", "-U", USER, "-d", "latchkey"];
    Probe {
        exec: Some(ExecAction { command: Some(command.map(str::to_owned).to_vec()) }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

/// The template of an existing StatefulSet is immutable.
fn claim(service: &Validated, store: &Embedded, size: &str) -> PersistentVolumeClaim {
    let existing = store.claim.as_ref().map(|claim| (claim.labels.clone(), claim.annotations.clone()));
    let (labels, annotations) = existing.unwrap_or_else(|| {
        (Some(retained_labels(&service.names, Component::Postgres)), Some(retained_annotations(service)))
    });
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some("data".to_owned()), labels, annotations, ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.to_owned()))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

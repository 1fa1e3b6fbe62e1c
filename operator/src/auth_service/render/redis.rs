//! The embedded Valkey: one instance without a volume, because its data are also stored in PostgreSQL.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, PodSpec, PodTemplateSpec, Probe, Secret, Service, ServicePort, ServiceSpec,
    TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ObjectMeta;
use latchkey_config::SecretText;

use super::metadata::metadata;
use super::pod;
use crate::auth_service::validate::{Embedded, Validated};
use crate::fingerprint::fingerprint;
use crate::names::{CHECKSUM_ANNOTATION, Component, STORE_USER};

const PORT: i32 = 6379;
const CONFIGURATION: &str = "/etc/latchkey/valkey";
const FILE: &str = "valkey.conf";

/// `None` if the password is lost.
pub(super) fn build_credentials(service: &Validated, store: &Embedded) -> Option<Secret> {
    let (password, url) = (store.password.text()?, store.url.as_ref()?);
    let configuration = configuration(password);
    Some(Secret {
        metadata: metadata(service, service.names.redis(), Component::Redis),
        data: Some(pod::secret_data([("password", password), ("url", url), (FILE, &configuration)])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    })
}

/// The password is in the file, because arguments are visible in process lists. Full memory is an error and never
/// evicts: an evicted revocation would make a revoked token valid again.
fn configuration(password: &SecretText) -> SecretText {
    let lines = [
        format!("port {PORT}"),
        format!("requirepass {}", password.expose()),
        "maxmemory 96mb".to_owned(),
        "maxmemory-policy noeviction".to_owned(),
        "save \"\"".to_owned(),
        "appendonly no".to_owned(),
        "dir /data".to_owned(),
    ];
    SecretText::new(lines.join("\n") + "\n")
}

pub(super) fn build_service(service: &Validated) -> Service {
    Service {
        metadata: metadata(service, service.names.redis(), Component::Redis),
        spec: Some(ServiceSpec {
            selector: Some(service.names.selector(Component::Redis)),
            type_: Some("ClusterIP".to_owned()),
            ip_family_policy: Some(pod::IP_FAMILIES.to_owned()),
            ports: Some(vec![ServicePort {
                name: Some("redis".to_owned()),
                port: PORT,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String("redis".to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

pub(super) fn build_stateful_set(service: &Validated, store: &Embedded) -> StatefulSet {
    // Its hash reveals nothing, because the password is generated. A keyed hash would replace the pod when the key is lost.
    let password = store.password.text().map_or("", SecretText::expose);
    StatefulSet {
        metadata: metadata(service, service.names.redis(), Component::Redis),
        spec: StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(service.names.redis()),
            selector: LabelSelector {
                match_labels: Some(service.names.selector(Component::Redis)),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(service.names.labels(Component::Redis)),
                    annotations: Some(
                        [(CHECKSUM_ANNOTATION.to_owned(), fingerprint([password.as_bytes()]))].into(),
                    ),
                    ..ObjectMeta::default()
                }),
                spec: Some(PodSpec {
                    containers: vec![container(service, store)],
                    volumes: Some(vec![
                        pod::secret_volume_of("configuration", &service.names.redis(), &[(FILE, FILE)]),
                        pod::empty_volume("data"),
                    ]),
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    image_pull_secrets: pod::pull_secrets(service),
                    security_context: Some(pod::pod_security(service, STORE_USER)),
                    termination_grace_period_seconds: Some(10),
                    ..PodSpec::default()
                }),
            },
            ..StatefulSetSpec::default()
        },
        ..StatefulSet::default()
    }
}

fn container(service: &Validated, store: &Embedded) -> Container {
    let resources = service.spec.redis.embedded.as_ref().and_then(|embedded| embedded.resources.clone());
    Container {
        name: "valkey".to_owned(),
        image: Some(store.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["valkey-server".to_owned(), format!("{CONFIGURATION}/{FILE}")]),
        ports: Some(vec![ContainerPort {
            name: Some("redis".to_owned()),
            container_port: PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        readiness_probe: Some(probe(2, 2)),
        liveness_probe: Some(probe(20, 6)),
        resources: Some(resources.unwrap_or_else(|| pod::resources("20m", "32Mi", "192Mi"))),
        security_context: Some(pod::container_security()),
        volume_mounts: Some(vec![
            pod::read_only("configuration", CONFIGURATION),
            pod::mount("data", "/data"),
        ]),
        ..Container::default()
    }
}

/// A TCP probe is sufficient and needs no password.
fn probe(period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::String("redis".to_owned()),
            ..TCPSocketAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failure_threshold),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

//! The headless Service of the management port, for Prometheus. It is separate from the Service of the API, so that
//! metrics and status are not reachable there, and it includes pods that are not ready, which need monitoring most.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata::metadata;
use super::pod::IP_FAMILIES;
use crate::auth_service::validate::Validated;
use crate::names::{Component, MANAGEMENT_PORT};

pub(super) fn build(service: &Validated) -> Service {
    Service {
        metadata: metadata(service, service.names.management(), Component::Server),
        spec: Some(ServiceSpec {
            selector: Some(service.names.selector(Component::Server)),
            type_: Some("ClusterIP".to_owned()),
            ip_family_policy: Some(IP_FAMILIES.to_owned()),
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![ServicePort {
                name: Some("management".to_owned()),
                port: i32::from(MANAGEMENT_PORT),
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String("management".to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

//! The Service of the API.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata::metadata;
use super::pod::IP_FAMILIES;
use crate::auth_service::validate::Validated;
use crate::names::Component;

/// The port has the name of the scheme, also in the pods: while pods without TLS are replaced, requests only reach those
/// that have it.
pub(super) fn build(service: &Validated) -> Service {
    let (scheme, port) = service.service_port();
    Service {
        metadata: metadata(service, service.names.base(), Component::Server),
        spec: Some(ServiceSpec {
            selector: Some(service.names.selector(Component::Server)),
            type_: Some("ClusterIP".to_owned()),
            ip_family_policy: Some(IP_FAMILIES.to_owned()),
            ports: Some(vec![ServicePort {
                name: Some(scheme.to_owned()),
                port,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(scheme.to_owned())),
                app_protocol: Some(scheme.to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

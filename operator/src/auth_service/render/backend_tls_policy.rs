//! How a Gateway connects to an API port with TLS: the BackendTLSPolicy, and the authorities that it refers to.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::Component;

/// Whether a Gateway connects to the API port with TLS.
fn is_needed(service: &Validated) -> bool {
    let gateway = service.spec.exposure.as_ref().is_some_and(|exposure| exposure.gateway.is_some());
    gateway && service.spec.tls.is_some()
}

/// A public certificate is verified by the authorities that the Gateway trusts.
pub(super) fn build(service: &Validated) -> Option<Value> {
    if !is_needed(service) {
        return None;
    }
    let mut validation = json!({ "hostname": format!("{}.{}.svc", service.name, service.namespace) });
    if service.api_ca.is_some() {
        let authorities = json!({ "group": "", "kind": "ConfigMap", "name": service.names.api_ca() });
        validation["caCertificateRefs"] = json!([authorities]);
    } else {
        validation["wellKnownCACertificates"] = json!("System");
    }
    Some(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "BackendTLSPolicy",
        "metadata": metadata(service, service.names.base(), Component::Server),
        "spec": {
            "targetRefs": [{
                "group": "", "kind": "Service", "name": service.names.base(), "sectionName": service.service_port().0,
            }],
            "validation": validation,
        },
    }))
}

pub(super) fn build_authorities(service: &Validated) -> Option<ConfigMap> {
    let authorities = service.api_ca.as_ref().filter(|_| is_needed(service))?;
    Some(ConfigMap {
        metadata: metadata(service, service.names.api_ca(), Component::Server),
        data: Some([("ca.crt".to_owned(), authorities.clone())].into()),
        ..ConfigMap::default()
    })
}

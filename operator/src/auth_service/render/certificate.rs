//! The cert-manager Certificate for the host names of the exposed API.

use latchkey_crds::auth_service::{Certificate, Exposure};
use serde_json::{Value, json};

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::Component;

/// The certificate that the spec requests, with its host names.
pub(super) fn requested(exposure: &Exposure) -> Option<(&Certificate, Vec<&str>)> {
    if let Some(ingress) = &exposure.ingress {
        let certificate = ingress.tls.as_ref()?.certificate.as_ref()?;
        return Some((certificate, vec![ingress.host.as_str()]));
    }
    let gateway = exposure.gateway.as_ref()?;
    Some((gateway.certificate.as_ref()?, gateway.hostnames.iter().map(String::as_str).collect()))
}

pub(super) fn build(service: &Validated, certificate: &Certificate, hosts: &[&str]) -> Value {
    let issuer = &certificate.issuer_ref;
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": metadata(service, service.names.base(), Component::Server),
        "spec": {
            "secretName": service.names.tls(),
            "dnsNames": hosts,
            "issuerRef": { "name": issuer.name, "kind": issuer.kind, "group": issuer.group },
        },
    })
}

//! The cert-manager Certificate for the host names of the exposed API.

use latchkey_crds::auth_service::{Certificate, Exposure, IssuerRef};
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
    object(service, service.names.base(), &service.names.tls(), &certificate.issuer_ref, hosts)
}

/// The certificate of the API port, for the names of the Service.
pub(super) fn build_api(service: &Validated, issuer: &IssuerRef) -> Value {
    let (name, namespace) = (&service.name, &service.namespace);
    let hosts = [
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}.svc.cluster.local"),
        format!("{name}.{namespace}"),
        name.clone(),
    ];
    let hosts = hosts.each_ref().map(String::as_str);
    object(service, &service.names.api_certificate(), &service.names.api_tls(), issuer, &hosts)
}

fn object(service: &Validated, name: &str, secret: &str, issuer: &IssuerRef, hosts: &[&str]) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": metadata(service, name, Component::Server),
        "spec": {
            "secretName": secret,
            "dnsNames": hosts,
            "issuerRef": { "name": issuer.name, "kind": issuer.kind, "group": issuer.group },
        },
    })
}

//! The Route of the API, on OpenShift.

use latchkey_crds::auth_service::{RouteExposure, RouteTls};
use serde_json::{Value, json};

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::Component;

pub(super) fn build(service: &Validated, exposure: &RouteExposure) -> Value {
    let mut metadata = metadata(service, service.names.base(), Component::Server);
    metadata.annotations = (!exposure.annotations.is_empty()).then(|| exposure.annotations.clone());
    let mut route = json!({
        "apiVersion": "route.openshift.io/v1",
        "kind": "Route",
        "metadata": metadata,
        "spec": {
            "host": exposure.host,
            "to": { "kind": "Service", "name": service.names.base(), "weight": 100 },
            "port": { "targetPort": "http" },
        },
    });
    if let Some(tls) = &exposure.tls {
        route["spec"]["tls"] = build_tls(tls);
    }
    route
}

fn build_tls(tls: &RouteTls) -> Value {
    let mut built = json!({
        "termination": tls.termination.as_str(),
        "insecureEdgeTerminationPolicy": "Redirect",
    });
    if let Some(certificate) = &tls.destination_ca_certificate {
        built["destinationCACertificate"] = json!(certificate);
    }
    built
}

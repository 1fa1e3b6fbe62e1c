//! The HTTPRoute of the API.

use latchkey_crds::auth_service::{GatewayExposure, ParentRef};
use serde_json::{Map, Value, json};

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::Component;

pub(super) fn build(service: &Validated, exposure: &GatewayExposure) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(service, service.names.base(), Component::Server),
        "spec": {
            "parentRefs": exposure.parent_refs.iter().map(parent).collect::<Vec<_>>(),
            "hostnames": exposure.hostnames,
            "rules": [{ "backendRefs": [{ "name": service.names.base(), "port": service.service_port().1 }] }],
        },
    })
}

fn parent(reference: &ParentRef) -> Value {
    let mut parent = Map::from_iter([("name".to_owned(), json!(reference.name))]);
    parent.extend(reference.namespace.as_ref().map(|name| ("namespace".to_owned(), json!(name))));
    parent.extend(reference.section_name.as_ref().map(|name| ("sectionName".to_owned(), json!(name))));
    parent.extend(reference.port.map(|port| ("port".to_owned(), json!(port))));
    Value::Object(parent)
}

//! The ServiceMonitor of the Prometheus Operator.

use serde_json::{Value, json};

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::Component;

pub(super) fn build(service: &Validated) -> Value {
    let spec = &service.spec.monitoring.service_monitor;
    let mut metadata = metadata(service, service.names.base(), Component::Server);
    metadata.labels.get_or_insert_default().extend(spec.labels.clone());
    // The dashboard and the alerts of the chart distinguish the services of a namespace by this label.
    let mut endpoint = json!({
        "port": "management",
        "path": "/metrics",
        "relabelings": [{ "targetLabel": "auth_service", "replacement": service.name }],
    });
    if let Some(interval) = &spec.interval {
        endpoint["interval"] = json!(interval);
    }
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata,
        "spec": {
            "endpoints": [endpoint],
            "namespaceSelector": { "matchNames": [service.namespace] },
            "selector": { "matchLabels": service.names.selector(Component::Server) },
        },
    })
}

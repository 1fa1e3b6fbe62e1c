//! The Ingress of the API.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};
use latchkey_crds::auth_service::IngressExposure;

use super::metadata::metadata;
use crate::auth_service::validate::Validated;
use crate::names::Component;

/// The annotation by which ingress-nginx connects to the pods with TLS.
const NGINX_BACKEND_PROTOCOL: &str = "nginx.ingress.kubernetes.io/backend-protocol";

pub(super) fn build(service: &Validated, exposure: &IngressExposure) -> Ingress {
    let mut metadata = metadata(service, service.names.base(), Component::Server);
    let mut annotations = exposure.annotations.clone();
    if service.spec.tls.is_some() {
        // Other controllers read the name or the appProtocol of the Service's port.
        annotations.entry(NGINX_BACKEND_PROTOCOL.to_owned()).or_insert_with(|| "HTTPS".to_owned());
    }
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: service.names.base().to_owned(),
            port: Some(ServiceBackendPort { name: Some(service.service_port().0.to_owned()), number: None }),
        }),
        resource: None,
    };
    let path = HTTPIngressPath { path: Some("/".to_owned()), path_type: "Prefix".to_owned(), backend };
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: exposure.class_name.clone(),
            rules: Some(vec![IngressRule {
                host: Some(exposure.host.clone()),
                http: Some(HTTPIngressRuleValue { paths: vec![path] }),
            }]),
            tls: exposure.tls.as_ref().map(|tls| {
                vec![IngressTLS {
                    hosts: Some(vec![exposure.host.clone()]),
                    secret_name: Some(tls.secret_name.clone().unwrap_or_else(|| service.names.tls())),
                }]
            }),
            default_backend: None,
        }),
        ..Ingress::default()
    }
}

//! The certificate of the API port, and exposure outside the cluster: Certificate, Ingress, HTTPRoute, Route,
//! BackendTLSPolicy.

use super::rendered::{Action, RenderError};
use super::{backend_tls_policy, certificate, http_route, ingress, route};
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::validate::Validated;
use crate::cluster::kinds::Kind;

pub(super) fn build(service: &Validated, external_state: &ExternalState) -> Result<[Action; 7], RenderError> {
    let exposure = service.spec.exposure.as_ref();
    let certificate = exposure.and_then(certificate::requested);
    let ingress = exposure.and_then(|exposure| exposure.ingress.as_ref());
    let gateway = exposure.and_then(|exposure| exposure.gateway.as_ref());
    let route = exposure.and_then(|exposure| exposure.route.as_ref());
    let issuer = service.spec.tls.as_ref().and_then(|tls| tls.issuer_ref.as_ref());
    Ok([
        Action::named_of_optional_kind(
            service,
            external_state,
            (Kind::Certificate, &service.names.api_certificate()),
            issuer.map(|issuer| certificate::build_api(service, issuer)),
        )?,
        Action::of_optional_kind(
            service,
            external_state,
            Kind::Certificate,
            certificate.map(|(certificate, hosts)| certificate::build(service, certificate, &hosts)),
        )?,
        Action::apply_or_delete(
            service,
            Kind::Ingress,
            ingress.map(|exposure| ingress::build(service, exposure)),
        )?,
        Action::of_optional_kind(
            service,
            external_state,
            Kind::HttpRoute,
            gateway.map(|exposure| http_route::build(service, exposure)),
        )?,
        Action::of_optional_kind(
            service,
            external_state,
            Kind::Route,
            route.map(|exposure| route::build(service, exposure)),
        )?,
        match backend_tls_policy::build_authorities(service) {
            Some(authorities) => Action::apply(service, Kind::ConfigMap, &authorities)?,
            None => Action::delete(Kind::ConfigMap, service.names.api_ca()),
        },
        Action::of_optional_kind(
            service,
            external_state,
            Kind::BackendTlsPolicy,
            backend_tls_policy::build(service),
        )?,
    ])
}

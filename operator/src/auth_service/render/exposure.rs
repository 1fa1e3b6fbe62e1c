//! Exposure outside the cluster: Certificate, Ingress, HTTPRoute, Route.

use super::rendered::{Action, RenderError};
use super::{certificate, http_route, ingress, route};
use crate::auth_service::dereference::ExternalState;
use crate::auth_service::validate::Validated;
use crate::cluster::kinds::Kind;

pub(super) fn build(service: &Validated, external_state: &ExternalState) -> Result<[Action; 4], RenderError> {
    let exposure = service.spec.exposure.as_ref();
    let certificate = exposure.and_then(certificate::requested);
    let ingress = exposure.and_then(|exposure| exposure.ingress.as_ref());
    let gateway = exposure.and_then(|exposure| exposure.gateway.as_ref());
    let route = exposure.and_then(|exposure| exposure.route.as_ref());
    Ok([
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
    ])
}

//! Exposure outside the cluster: Ingress, HTTPRoute, Certificate.

use serde_json::Value;

use super::rendered::{Action, RenderError};
use super::{certificate, http_route, ingress};
use crate::auth_service::validate::Validated;
use crate::cluster::cache::Presence;
use crate::cluster::kinds::Kind;

/// What exposes the API.
#[derive(Debug, Clone)]
pub struct Exposing {
    pub certificate: Action,
    pub ingress: Action,
    pub http_route: Action,
}

pub(super) fn build(service: &Validated) -> Result<Exposing, RenderError> {
    let exposure = service.spec.exposure.as_ref();
    let asked = exposure.and_then(certificate::asked);
    let route = exposure.and_then(|exposure| exposure.gateway.as_ref());
    Ok(Exposing {
        certificate: optional(
            service,
            Kind::Certificate,
            asked.map(|(certificate, hosts)| certificate::build(service, certificate, &hosts)),
        )?,
        ingress: match exposure.and_then(|exposure| exposure.ingress.as_ref()) {
            Some(exposure) => Action::apply(service, Kind::Ingress, &ingress::build(service, exposure))?,
            None => Action::delete(Kind::Ingress, service.names.base()),
        },
        http_route: optional(
            service,
            Kind::HttpRoute,
            route.map(|exposure| http_route::build(service, exposure)),
        )?,
    })
}

/// An object of a kind that may not be installed.
fn optional(service: &Validated, kind: Kind, object: Option<Value>) -> Result<Action, RenderError> {
    let name = service.names.base();
    match (service.optional.presence(kind), object) {
        (Presence::Present, Some(object)) => Action::apply(service, kind, &object),
        (Presence::Present, None) => Ok(Action::delete(kind, name)),
        (Presence::Absent | Presence::Unknown, _) => Ok(Action::keep(kind, name)),
    }
}

//! The condition `Exposed`, decided from the status that other controllers report. Pure.

use kube::core::DynamicObject;
use latchkey_crds::auth_service::{GatewayExposure, IngressExposure, RouteExposure};
use latchkey_crds::conditions::EXPOSED;
use serde_json::Value;

use super::facts::{ConditionStatus, Facts, Stated, state};
use crate::cluster::cache::Presence;
use crate::cluster::kinds::Kind;

pub(super) fn decide_exposed(facts: &Facts<'_>) -> Stated {
    let Some(exposure) = &facts.service.spec.exposure else {
        return stated(
            ConditionStatus::False,
            "Disabled",
            "The API is only available inside the cluster: set spec.exposure to expose it.",
        );
    };
    let kinds = [Kind::Ingress, Kind::HttpRoute, Kind::Route, Kind::Certificate, Kind::BackendTlsPolicy];
    if let Some((kind, name)) = facts.applied.name_conflicts.iter().find(|(kind, _)| kinds.contains(kind)) {
        let message = format!("the {kind} {name} exists and has another owner: delete or rename it.");
        return stated(ConditionStatus::False, "NameConflict", message);
    }
    match (&exposure.ingress, &exposure.gateway, &exposure.route) {
        (Some(ingress), ..) => decide_ingress(facts, ingress),
        (None, Some(gateway), _) => decide_gateway(facts, gateway),
        (None, None, Some(route)) => decide_route(facts, route),
        (None, None, None) => stated(
            ConditionStatus::False,
            "Disabled",
            "spec.exposure is empty: set ingress, gateway or route in it.",
        ),
    }
}

fn stated(status: ConditionStatus, reason: &'static str, message: impl Into<String>) -> Stated {
    state(EXPOSED, status, reason, message)
}

fn decide_ingress(facts: &Facts<'_>, exposure: &IngressExposure) -> Stated {
    let found = &facts.external_state.exposure;
    if let Some(Err(problem)) = &found.tls {
        return stated(ConditionStatus::False, problem.reason, problem.message.clone());
    }
    let certificate = exposure.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
    if let Some(problem) = certificate.then(|| certificate_problem(facts)).flatten() {
        return problem;
    }
    let addresses = found
        .ingress
        .as_ref()
        .and_then(|ingress| ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref())
        .is_some_and(|addresses| !addresses.is_empty());
    let host = &exposure.host;
    stated(
        ConditionStatus::True,
        "IngressApplied",
        if addresses {
            format!("The Ingress serves {host}.")
        } else {
            format!(
                "The Ingress for {host} is applied; its controller has not reported an address (not all controllers do)."
            )
        },
    )
}

fn decide_gateway(facts: &Facts<'_>, exposure: &GatewayExposure) -> Stated {
    let remedy = "install the Gateway API";
    if let Some(missing) = missing(facts, Kind::HttpRoute, "HTTPRouteKindMissing", remedy, FIELD) {
        return missing;
    }
    if facts.service.spec.tls.is_some() {
        let reason = "BackendTLSPolicyKindMissing";
        let remedy = "install the Gateway API 1.4 or later";
        if let Some(missing) = missing(facts, Kind::BackendTlsPolicy, reason, remedy, "spec.tls") {
            return missing;
        }
    }
    if let Some(problem) = exposure.certificate.as_ref().and_then(|_| certificate_problem(facts)) {
        return problem;
    }
    let parents = facts
        .external_state
        .exposure
        .http_route
        .as_ref()
        .and_then(|route| route.data.pointer("/status/parents")?.as_array().cloned())
        .unwrap_or_default();
    let refusal = parents.iter().find_map(|parent| {
        ["Accepted", "ResolvedRefs"].into_iter().find_map(|type_| {
            let condition =
                condition(&parent["conditions"], type_).filter(|found| found["status"] != "True")?;
            Some((parent["parentRef"]["name"].as_str()?, condition["message"].as_str().unwrap_or_default()))
        })
    });
    match refusal {
        Some((gateway, why)) => stated(
            ConditionStatus::False,
            "NotAccepted",
            format!(
                "The Gateway {gateway} does not accept the route, check its listeners and spec.exposure.gateway: {why}"
            ),
        ),
        None if parents.is_empty() => stated(
            ConditionStatus::Unknown,
            "GatewayPending",
            "No Gateway has accepted the route yet: check that the Gateways in spec.exposure.gateway.parentRefs exist and have a controller.",
        ),
        None => stated(
            ConditionStatus::True,
            "RouteAccepted",
            format!("The route serves {}.", exposure.hostnames.join(", ")),
        ),
    }
}

fn decide_route(facts: &Facts<'_>, exposure: &RouteExposure) -> Stated {
    if let Some(missing) = missing(facts, Kind::Route, "RouteKindMissing", "only OpenShift has it", FIELD) {
        return missing;
    }
    let route = facts.external_state.exposure.route.as_ref();
    let routers = route
        .and_then(|route| route.data.pointer("/status/ingress")?.as_array().cloned())
        .unwrap_or_default();
    let admitted =
        routers.iter().filter_map(|router| Some((router, condition(&router["conditions"], "Admitted")?)));
    let mut refused = admitted.clone().filter(|(_, condition)| condition["status"] == "False");
    match (refused.next(), admitted.count()) {
        (Some((router, why)), _) => stated(
            ConditionStatus::False,
            "NotAccepted",
            format!(
                "The router {} does not accept the Route for {}, check that no other Route has this host: {}",
                router["routerName"].as_str().unwrap_or_default(),
                exposure.host,
                why["message"].as_str().unwrap_or_default()
            ),
        ),
        (None, 0) => stated(
            ConditionStatus::Unknown,
            "RoutePending",
            format!(
                "No router has accepted the Route for {} yet: check the ingress controllers of the cluster.",
                exposure.host
            ),
        ),
        (None, _) => {
            stated(ConditionStatus::True, "RouteAccepted", format!("The Route serves {}.", exposure.host))
        }
    }
}

pub(super) fn certificate_problem(facts: &Facts<'_>) -> Option<Stated> {
    missing(facts, Kind::Certificate, "CertificateKindMissing", "install cert-manager", FIELD).or_else(|| {
        readiness_problem(facts.external_state.exposure.certificate.as_ref(), &facts.service.name)
    })
}

/// Why a Certificate is not ready.
pub(super) fn readiness_problem(certificate: Option<&DynamicObject>, name: &str) -> Option<Stated> {
    let ready = certificate.and_then(ready);
    if ready.is_some_and(|ready| ready["status"] == "True") {
        return None;
    }
    let why = ready.and_then(|ready| ready["message"].as_str()).unwrap_or("it has no status yet");
    let message = format!("The Certificate {name} is not ready, check its issuer: {why}");
    Some(stated(ConditionStatus::False, "CertificateNotReady", message))
}

fn ready(certificate: &DynamicObject) -> Option<&Value> {
    condition(certificate.data.pointer("/status/conditions")?, "Ready")
}

fn condition<'a>(conditions: &'a Value, type_: &str) -> Option<&'a Value> {
    conditions.as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// The field that asks for the kinds.
const FIELD: &str = "spec.exposure";

pub(super) fn missing(
    facts: &Facts<'_>,
    kind: Kind,
    reason: &'static str,
    remedy: &str,
    field: &str,
) -> Option<Stated> {
    match facts.external_state.optional.presence(kind) {
        Presence::Present => None,
        Presence::Absent => Some(stated(
            ConditionStatus::False,
            reason,
            format!("The kind {kind} is not installed: {remedy}, or change {field}."),
        )),
        // Found by discovery, which needs no permission.
        Presence::Unknown if kind == Kind::Route => Some(stated(
            ConditionStatus::Unknown,
            "KindUnknown",
            "It is not known yet whether the kind Route is installed.",
        )),
        Presence::Unknown => Some(stated(
            ConditionStatus::Unknown,
            "KindUnknown",
            format!(
                "It is not known yet whether the kind {kind} is installed: the operator needs permission to watch the CustomResourceDefinition {}.",
                kind.definition()
            ),
        )),
    }
}

//! The condition `CertificateValid`. Pure.

use latchkey_crds::conditions::CERTIFICATE_VALID;

use super::api_certificate::decide_api_certificate;
use super::exposure::certificate_problem;
use super::facts::{ConditionStatus, Facts, Stated, state};

/// The first certificate with a problem: that of the exposed API, or that of the API port.
pub(super) fn decide_certificate(facts: &Facts<'_>) -> Stated {
    let exposed = decide_exposed_certificate(facts);
    let Some(api) = decide_api_certificate(facts) else { return exposed };
    let is_good = exposed.status == ConditionStatus::True;
    match exposed.reason {
        NOT_CONFIGURED => api,
        "Valid" if is_good => api,
        _ if is_good && api.status != ConditionStatus::True => api,
        _ => exposed,
    }
}

/// The reason if the API has no certificate.
const NOT_CONFIGURED: &str = "NotConfigured";

fn decide_exposed_certificate(facts: &Facts<'_>) -> Stated {
    let stated = |status, reason, message: String| state(CERTIFICATE_VALID, status, reason, message);
    let exposure = facts.service.spec.exposure.as_ref();
    let tls = exposure.and_then(|exposure| exposure.ingress.as_ref()?.tls.as_ref());
    let gateway = exposure.and_then(|exposure| exposure.gateway.as_ref()?.certificate.as_ref());
    match (&facts.external_state.exposure.tls, tls.and_then(|tls| tls.secret_name.as_deref())) {
        (Some(Err(problem)), _) => {
            return stated(ConditionStatus::False, problem.reason, problem.message.clone());
        }
        (Some(Ok(certificate)), Some(secret)) => {
            let (good, reason, message) = certificate.describe(secret);
            return stated(
                if good { ConditionStatus::True } else { ConditionStatus::False },
                reason,
                message,
            );
        }
        _ => {}
    }
    if gateway.or_else(|| tls?.certificate.as_ref()).is_none() {
        let message = "No TLS certificate is configured (spec.exposure, spec.tls).";
        return stated(ConditionStatus::Unknown, NOT_CONFIGURED, message.to_owned());
    }
    if let Some(Stated { status, reason, message, .. }) = certificate_problem(facts) {
        return stated(status, reason, message);
    }
    let certificate = facts.external_state.exposure.certificate.as_ref();
    let until = certificate.and_then(|certificate| certificate.data.pointer("/status/notAfter")?.as_str());
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    stated(
        ConditionStatus::True,
        "Valid",
        format!("The certificate that cert-manager issued is valid{until}."),
    )
}

//! The certificate of the API port. Pure.

use latchkey_crds::conditions::CERTIFICATE_VALID;

use super::exposure::{missing, readiness_problem};
use super::facts::{ConditionStatus, Facts, Stated, state};
use crate::cluster::kinds::Kind;

/// `None` if the API port has no TLS.
pub(super) fn decide_api_certificate(facts: &Facts<'_>) -> Option<Stated> {
    let stated = |status, reason, message: String| Some(state(CERTIFICATE_VALID, status, reason, message));
    let tls = facts.service.spec.tls.as_ref()?;
    let found = &facts.external_state.exposure;
    match (&tls.secret_ref, &found.api_tls) {
        (Some(_), Some(Err(problem))) => {
            return stated(ConditionStatus::False, problem.reason, problem.message.clone());
        }
        (Some(secret), Some(Ok(certificate))) => {
            let (good, reason, message) = certificate.describe(&secret.name);
            let status = if good { ConditionStatus::True } else { ConditionStatus::False };
            return stated(status, reason, message);
        }
        _ => {}
    }
    let name = facts.service.names.api_certificate();
    let problem =
        missing(facts, Kind::Certificate, "CertificateKindMissing", "install cert-manager", "spec.tls")
            .or_else(|| readiness_problem(found.api_certificate.as_ref(), &name));
    if let Some(Stated { status, reason, message, .. }) = problem {
        return stated(status, reason, message);
    }
    let message = format!("The certificate in the Secret {} is valid.", facts.service.names.api_tls());
    stated(ConditionStatus::True, "Valid", message)
}

//! Tells a service that is being scaled from one whose replicas are missing. Pure.
//!
//! A new replica needs seconds to start. The replicas that were ready serve meanwhile, so that an alert or a tool must
//! not take the change of an autoscaler for an outage.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::SignedDuration;
use latchkey_crds::conditions as types;

use super::facts::Facts;
use super::transition::true_for;
use crate::fingerprint::{Fingerprint, short_fingerprint};

/// The reason of `Progressing` while replicas are added or removed.
pub(super) const SCALING: &str = "Scaling";
/// How long replicas may take to start, as long as a rollout (`progressDeadlineSeconds`).
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// The numbers of replicas of a Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replicas {
    pub wanted: i32,
    /// All, of any pod template.
    pub all: i32,
    /// Those of the current pod template.
    pub updated: i32,
    pub ready: i32,
}

/// Whether only the number of replicas differs from the wanted one: the service was ready, every replica has the
/// current template, and none that was ready is missing.
pub(super) fn is_scaling(facts: &Facts<'_>, replicas: Replicas) -> bool {
    let Replicas { wanted, all, updated, ready } = replicas;
    let conditions = &facts.before.conditions;
    let holds = |type_: &str| {
        conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")
    };
    let since = holds(types::PROGRESSING).filter(|progress| progress.reason == SCALING);
    let took = since.map(|_| true_for(conditions, types::PROGRESSING, facts.now)).unwrap_or_default();
    facts.template_observed
        && holds(types::READY).is_some()
        && wanted > 0
        && updated == all
        && ready >= facts.before.ready_replicas.min(wanted)
        && took < LONGEST.unsigned_abs()
}

/// Whether the controller has observed the template of the Deployment. The number of replicas may have changed since;
/// `known` is the template that was observed last.
pub(super) fn note_template(known: &mut Option<Fingerprint>, deployment: Option<&Deployment>) -> bool {
    let Some(deployment) = deployment else { return false };
    // A value parsed from JSON can be serialized as JSON.
    let template = short_fingerprint(&serde_json::to_vec(&deployment.spec.template).unwrap_or_default());
    let observed = deployment.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
    if observed >= deployment.metadata.generation.unwrap_or(0) {
        *known = Some(template);
        return true;
    }
    *known == Some(template)
}

#[cfg(test)]
#[path = "scaling_tests.rs"]
mod tests;

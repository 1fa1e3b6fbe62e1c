//! The condition `AutoscalingActive`, decided from the state of the autoscaler. Pure.

use latchkey_crds::conditions::AUTOSCALING_ACTIVE;

use super::facts::{ConditionStatus, Facts, Stated, state};
use crate::auth_service::autoscaler::Autoscaler;
use crate::cluster::kinds::Kind;

pub(super) fn decide_autoscaling(facts: &Facts<'_>) -> Stated {
    let stated = |status, reason, message: String| state(AUTOSCALING_ACTIVE, status, reason, message);
    let stopped = || {
        let message = "The service is scaled to zero, and the autoscaler is inactive; the condition Ready describes how to start it.";
        stated(ConditionStatus::False, "ScaledToZero", message.to_owned())
    };
    if facts.service.spec.autoscaling.is_none() {
        let message = "Autoscaling is not configured; spec.replicas sets the number of replicas.";
        return stated(ConditionStatus::False, "Disabled", message.to_owned());
    }
    let Some(autoscaling) = facts.service.autoscaling() else { return stopped() };
    if facts.applied.name_conflicts.iter().any(|(kind, _)| *kind == Kind::HorizontalPodAutoscaler) {
        let message =
            "a HorizontalPodAutoscaler with this name exists and has another owner: delete or rename it.";
        return stated(ConditionStatus::False, "NameConflict", message.to_owned());
    }
    match &facts.external_state.autoscaler {
        // The autoscaler fails because its target does not exist yet.
        _ if facts.applied.deployment.is_none() => stated(
            ConditionStatus::Unknown,
            "DeploymentMissing",
            "The Deployment does not exist yet; the condition Ready describes why.".to_owned(),
        ),
        None | Some(Autoscaler::NotReported) => stated(
            ConditionStatus::Unknown,
            "NotReported",
            "The autoscaler has not reported a status yet.".to_owned(),
        ),
        Some(Autoscaler::Waiting(why)) => stated(
            ConditionStatus::Unknown,
            "WaitingForMetrics",
            format!("The autoscaler has no metrics yet; no action is needed in the first minutes: {why}."),
        ),
        Some(Autoscaler::WithoutMetrics(why)) => stated(
            ConditionStatus::False,
            "MetricsMissing",
            format!(
                "The autoscaler has no CPU metrics and does not scale: check that metrics-server, or another implementation of metrics.k8s.io, is installed and works (kubectl top pods): {why}."
            ),
        ),
        Some(Autoscaler::CannotScale(why)) => stated(
            ConditionStatus::False,
            "CannotScale",
            format!(
                "The autoscaler cannot set the number of replicas (kubectl describe hpa {}): {why}.",
                facts.service.name
            ),
        ),
        Some(Autoscaler::ScaledToZero) => stopped(),
        Some(Autoscaler::AtMaximum) => stated(
            ConditionStatus::True,
            "AtMaximum",
            format!(
                "The autoscaler is at its maximum: increase spec.autoscaling.maxReplicas above {} if the database allows their connections.",
                autoscaling.max_replicas
            ),
        ),
        Some(Autoscaler::Active) => stated(
            ConditionStatus::True,
            "Active",
            format!(
                "The autoscaler scales between {} and {} replicas.",
                autoscaling.min_replicas, autoscaling.max_replicas
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::World;
    use super::*;
    use crate::auth_service::fixtures::{auth_service, embedded, validated};

    fn world(spec: Value, says: Option<Autoscaler>) -> World {
        let mut world = World::healthy();
        world.service = validated(&auth_service(spec), embedded());
        world.external_state.autoscaler = says;
        world
    }

    #[test]
    fn a_problem_of_the_autoscaler_is_reported_with_its_remedy() {
        let said = |says| world(json!({"autoscaling": {"maxReplicas": 9}}), Some(says));
        let why = || "no figures".to_owned();
        said(Autoscaler::NotReported).expect_condition(
            AUTOSCALING_ACTIVE,
            ConditionStatus::Unknown,
            "NotReported",
        );
        said(Autoscaler::Waiting(why())).expect_condition(
            AUTOSCALING_ACTIVE,
            ConditionStatus::Unknown,
            "WaitingForMetrics",
        );
        let blind = said(Autoscaler::WithoutMetrics(why()));
        let message = blind.expect_condition(AUTOSCALING_ACTIVE, ConditionStatus::False, "MetricsMissing");
        assert!(message.contains("metrics-server") && message.contains("no figures"), "{message}");
        said(Autoscaler::CannotScale(why())).expect_condition(
            AUTOSCALING_ACTIVE,
            ConditionStatus::False,
            "CannotScale",
        );
        said(Autoscaler::ScaledToZero).expect_condition(
            AUTOSCALING_ACTIVE,
            ConditionStatus::False,
            "ScaledToZero",
        );
        let full = said(Autoscaler::AtMaximum).expect_condition(
            AUTOSCALING_ACTIVE,
            ConditionStatus::True,
            "AtMaximum",
        );
        assert!(full.contains("above 9"), "{full}");
        said(Autoscaler::Active).expect_condition(AUTOSCALING_ACTIVE, ConditionStatus::True, "Active");
    }

    #[test]
    fn without_an_autoscaler_or_a_deployment_no_problem_is_reported() {
        let failing = || Some(Autoscaler::CannotScale("there is no Deployment".to_owned()));
        world(json!({}), None).expect_condition(AUTOSCALING_ACTIVE, ConditionStatus::False, "Disabled");
        let stopped = world(json!({"replicas": 0, "autoscaling": {"maxReplicas": 9}}), failing());
        stopped.expect_condition(AUTOSCALING_ACTIVE, ConditionStatus::False, "ScaledToZero");
        let mut early = world(json!({"autoscaling": {"maxReplicas": 9}}), failing());
        early.applied.deployment = None;
        early.expect_condition(AUTOSCALING_ACTIVE, ConditionStatus::Unknown, "DeploymentMissing");
        let mut taken = world(json!({"autoscaling": {"maxReplicas": 9}}), Some(Autoscaler::Active));
        taken.applied.name_conflicts = vec![(Kind::HorizontalPodAutoscaler, "demo".to_owned())];
        taken.expect_condition(AUTOSCALING_ACTIVE, ConditionStatus::False, "NameConflict");
    }
}

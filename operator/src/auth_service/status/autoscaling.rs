//! Whether the load decides how many replicas there are: what the autoscaler says of itself. Pure.

use latchkey_crds::conditions::AUTOSCALING_ACTIVE;

use super::facts::{ConditionStatus, Facts, Stated, state};
use crate::auth_service::autoscaler::Autoscaler;
use crate::cluster::kinds::Kind;

pub(super) fn decide_autoscaling(facts: &Facts<'_>) -> Stated {
    let say = |status, reason, message: String| state(AUTOSCALING_ACTIVE, status, reason, message);
    let stopped = || {
        let message = "The autoscaler leaves a service of no replicas alone: Ready says how to start it.";
        say(ConditionStatus::False, "ScaledToZero", message.to_owned())
    };
    if facts.service.spec.autoscaling.is_none() {
        let message =
            "spec.replicas says how many replicas there are: set spec.autoscaling to let the load decide.";
        return say(ConditionStatus::False, "Disabled", message.to_owned());
    }
    let Some(autoscaling) = facts.service.autoscaling() else { return stopped() };
    if facts.name_conflicts.iter().any(|(kind, _)| *kind == Kind::HorizontalPodAutoscaler) {
        let message = "the HorizontalPodAutoscaler belongs to somebody else: delete or rename it.";
        return say(ConditionStatus::False, "NameTaken", message.to_owned());
    }
    match &facts.service.external_state.autoscaler {
        // There is nothing yet that it could scale, of which it complains.
        _ if facts.deployment.is_none() => say(
            ConditionStatus::Unknown,
            "NoDeploymentYet",
            "There are no replicas yet: Ready says why.".to_owned(),
        ),
        None | Some(Autoscaler::Silent) => say(
            ConditionStatus::Unknown,
            "NotSaidYet",
            "The autoscaler has not said anything yet.".to_owned(),
        ),
        Some(Autoscaler::Waiting(why)) => say(
            ConditionStatus::Unknown,
            "WaitingForMetrics",
            format!("The autoscaler has nothing to go by yet; nothing to do for the first minutes: {why}."),
        ),
        Some(Autoscaler::WithoutMetrics(why)) => say(
            ConditionStatus::False,
            "MetricsMissing",
            format!(
                "The autoscaler does not know the CPU load, and leaves the number of replicas as it is: see that metrics-server, or what else serves metrics.k8s.io, is installed and works (kubectl top pods): {why}."
            ),
        ),
        Some(Autoscaler::CannotScale(why)) => say(
            ConditionStatus::False,
            "CannotScale",
            format!(
                "The autoscaler cannot set the number of replicas, look at it (kubectl describe hpa {}): {why}.",
                facts.service.name
            ),
        ),
        Some(Autoscaler::ScaledToZero) => stopped(),
        Some(Autoscaler::AtMaximum) => say(
            ConditionStatus::True,
            "AtMaximum",
            format!(
                "The load asks for more replicas than spec.autoscaling.maxReplicas allows: raise it above {}, if the database can take their connections.",
                autoscaling.max_replicas
            ),
        ),
        Some(Autoscaler::Active) => say(
            ConditionStatus::True,
            "Active",
            format!(
                "The load decides, between {} and {} replicas.",
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
    use crate::auth_service::fixtures::{auth_service, embedded, migrated};

    fn world(spec: Value, says: Option<Autoscaler>) -> World {
        let mut world = World::healthy();
        world.service = migrated(&auth_service(spec), embedded());
        world.service.external_state.autoscaler = says;
        world
    }

    #[test]
    fn what_the_autoscaler_lacks_is_said_with_what_to_do() {
        let said = |says| world(json!({"autoscaling": {"maxReplicas": 9}}), Some(says));
        let why = || "no figures".to_owned();
        said(Autoscaler::Silent).says(AUTOSCALING_ACTIVE, ConditionStatus::Unknown, "NotSaidYet");
        said(Autoscaler::Waiting(why())).says(
            AUTOSCALING_ACTIVE,
            ConditionStatus::Unknown,
            "WaitingForMetrics",
        );
        let blind = said(Autoscaler::WithoutMetrics(why()));
        let message = blind.says(AUTOSCALING_ACTIVE, ConditionStatus::False, "MetricsMissing");
        assert!(message.contains("metrics-server") && message.contains("no figures"), "{message}");
        said(Autoscaler::CannotScale(why())).says(AUTOSCALING_ACTIVE, ConditionStatus::False, "CannotScale");
        said(Autoscaler::ScaledToZero).says(AUTOSCALING_ACTIVE, ConditionStatus::False, "ScaledToZero");
        let full = said(Autoscaler::AtMaximum).says(AUTOSCALING_ACTIVE, ConditionStatus::True, "AtMaximum");
        assert!(full.contains("above 9"), "{full}");
        said(Autoscaler::Active).says(AUTOSCALING_ACTIVE, ConditionStatus::True, "Active");
    }

    #[test]
    fn without_an_autoscaler_or_a_deployment_there_is_nothing_to_complain_of() {
        let failing = || Some(Autoscaler::CannotScale("there is no Deployment".to_owned()));
        world(json!({}), None).says(AUTOSCALING_ACTIVE, ConditionStatus::False, "Disabled");
        let stopped = world(json!({"replicas": 0, "autoscaling": {"maxReplicas": 9}}), failing());
        stopped.says(AUTOSCALING_ACTIVE, ConditionStatus::False, "ScaledToZero");
        let mut early = world(json!({"autoscaling": {"maxReplicas": 9}}), failing());
        early.deployment = None;
        early.says(AUTOSCALING_ACTIVE, ConditionStatus::Unknown, "NoDeploymentYet");
        let mut taken = world(json!({"autoscaling": {"maxReplicas": 9}}), Some(Autoscaler::Active));
        taken.name_conflicts = vec![(Kind::HorizontalPodAutoscaler, "demo".to_owned())];
        taken.says(AUTOSCALING_ACTIVE, ConditionStatus::False, "NameTaken");
    }
}

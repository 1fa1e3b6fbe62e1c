//! The state of the HorizontalPodAutoscaler. Pure.

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// How long an autoscaler may have no metrics before it is reported: there are none for a pod that just started, or
/// while metrics-server restarts.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// The state of an autoscaler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Autoscaler {
    /// It has no status yet.
    NotReported,
    /// It does not work, but only for a short time; with its message.
    Waiting(String),
    /// It has no metrics; with its message.
    WithoutMetrics(String),
    /// It cannot set the number of replicas; with its message.
    CannotScale(String),
    /// It is inactive, because the Deployment has no replicas.
    ScaledToZero,
    /// The desired number of replicas exceeds the maximum.
    AtMaximum,
    Active,
}

/// Decides the state from the conditions of the autoscaler.
pub(crate) fn decide_autoscaler(autoscaler: &HorizontalPodAutoscaler, now: Timestamp) -> Autoscaler {
    let conditions =
        autoscaler.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let condition = |type_: &str| conditions.iter().find(|condition| condition.type_ == type_);
    let fails = |type_: &str| condition(type_).filter(|condition| condition.status != "True");
    let limited = |reason: &str| {
        condition("ScalingLimited")
            .is_some_and(|found| found.status == "True" && found.reason.as_deref() == Some(reason))
    };
    if let Some(failure) = fails("AbleToScale") {
        return judged(failure, now, Autoscaler::CannotScale);
    }
    match fails("ScalingActive") {
        Some(failure) if failure.reason.as_deref() == Some("ScalingDisabled") => Autoscaler::ScaledToZero,
        Some(failure) => judged(failure, now, Autoscaler::WithoutMetrics),
        None if condition("ScalingActive").is_none() => Autoscaler::NotReported,
        None if limited("TooManyReplicas") => Autoscaler::AtMaximum,
        None => Autoscaler::Active,
    }
}

fn judged(
    failure: &HorizontalPodAutoscalerCondition,
    now: Timestamp,
    lasting: impl Fn(String) -> Autoscaler,
) -> Autoscaler {
    let why = failure.message.clone().unwrap_or_default();
    let since = failure.last_transition_time.as_ref();
    if since.is_some_and(|since| now.duration_since(since.0) >= PATIENCE) {
        lasting(why)
    } else {
        Autoscaler::Waiting(why)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::ToSpan;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn autoscaler(conditions: &[(&str, &str, &str)]) -> HorizontalPodAutoscaler {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(type_, status, reason)| {
                json!({"type": type_, "status": status, "reason": reason, "message": "why", "lastTransitionTime": "2026-01-01T00:00:00Z"})
            })
            .collect();
        serde_json::from_value(json!({"metadata": {}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "demo"}}, "status": {"desiredReplicas": 1, "conditions": conditions}})).unwrap()
    }

    fn after(minutes: i64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + minutes.minutes()
    }

    #[test]
    fn only_a_lasting_failure_is_reported() {
        let able = ("AbleToScale", "True", "SucceededGetScale");
        let blind = autoscaler(&[able, ("ScalingActive", "False", "FailedGetResourceMetric")]);
        assert_eq!(decide_autoscaler(&blind, after(1)), Autoscaler::Waiting("why".to_owned()));
        assert_eq!(decide_autoscaler(&blind, after(2)), Autoscaler::WithoutMetrics("why".to_owned()));
        let stuck = autoscaler(&[("AbleToScale", "False", "FailedGetScale")]);
        assert_eq!(decide_autoscaler(&stuck, after(1)), Autoscaler::Waiting("why".to_owned()));
        assert_eq!(decide_autoscaler(&stuck, after(9)), Autoscaler::CannotScale("why".to_owned()));
    }

    #[test]
    fn normal_states_are_no_failure() {
        let able = ("AbleToScale", "True", "ReadyForNewScale");
        let active = ("ScalingActive", "True", "ValidMetricFound");
        let limited = |reason| ("ScalingLimited", "True", reason);
        assert_eq!(decide_autoscaler(&autoscaler(&[]), after(9)), Autoscaler::NotReported);
        assert_eq!(decide_autoscaler(&autoscaler(&[able]), after(9)), Autoscaler::NotReported);
        assert_eq!(decide_autoscaler(&autoscaler(&[able, active]), after(0)), Autoscaler::Active);
        let few = autoscaler(&[able, active, limited("TooFewReplicas")]);
        assert_eq!(decide_autoscaler(&few, after(0)), Autoscaler::Active);
        let many = autoscaler(&[able, active, limited("TooManyReplicas")]);
        assert_eq!(decide_autoscaler(&many, after(0)), Autoscaler::AtMaximum);
        let off = autoscaler(&[able, ("ScalingActive", "False", "ScalingDisabled")]);
        assert_eq!(decide_autoscaler(&off, after(9)), Autoscaler::ScaledToZero);
    }

    fn any_status() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("True"), Just("False"), Just("Unknown")]
    }

    proptest! {
        #[test]
        fn a_failing_autoscaler_is_never_active(
            able in any_status(), active in any_status(), minutes in -9_i64..9,
        ) {
            let found = autoscaler(&[("AbleToScale", able, "R"), ("ScalingActive", active, "R")]);
            let works = decide_autoscaler(&found, after(minutes)) == Autoscaler::Active;
            prop_assert_eq!(works, able == "True" && active == "True");
        }
    }
}

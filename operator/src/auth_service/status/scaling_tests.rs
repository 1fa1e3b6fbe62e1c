//! Scaling and missing replicas.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{Timestamp, ToSpan};
use latchkey_crds::conditions::{PROGRESSING, READY, RECONCILING};
use serde_json::json;

use super::super::facts::ConditionStatus;
use super::super::tests::{World, deployment, waiting_pod};
use super::*;
use crate::auth_service::fixtures::{auth_service, embedded, validated};

fn condition(type_: &str, reason: &str, since: Timestamp) -> Condition {
    serde_json::from_value(json!({
        "type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": since.to_string(),
    }))
    .unwrap()
}

/// Two replicas were ready, and four are wanted.
fn scaled_out(updated: i32, ready: i32) -> World {
    let mut world = World::healthy();
    world.service = validated(&auth_service(json!({"replicas": 4})), embedded());
    world.applied.deployment = Some(deployment(updated, ready));
    world.template_observed = true;
    world.before.ready_replicas = 2;
    world.before.conditions = vec![condition(READY, "Available", Timestamp::UNIX_EPOCH - 1.hour())];
    world
}

#[test]
fn scaling_out_and_in_is_progress() {
    for (updated, ready) in [(2, 2), (3, 2), (4, 2), (4, 3), (6, 5)] {
        let world = scaled_out(updated, ready);
        let message = world.expect_condition(READY, ConditionStatus::True, "Available");
        assert!(message.starts_with(&format!("{ready} of 4 replicas are ready")), "{message}");
        world.expect_condition(PROGRESSING, ConditionStatus::True, "Scaling");
        world.expect_condition(RECONCILING, ConditionStatus::True, "Scaling");
    }
    let mut autoscaled = scaled_out(2, 2);
    autoscaled.service = validated(&auth_service(json!({"autoscaling": {"maxReplicas": 9}})), embedded());
    autoscaled.applied.deployment.as_mut().unwrap().spec.replicas = Some(4);
    autoscaled.expect_condition(PROGRESSING, ConditionStatus::True, "Scaling");
    autoscaled.expect_condition(RECONCILING, ConditionStatus::False, "Settled");
}

#[test]
fn a_missing_replica_is_no_progress() {
    let not_ready = |change: &dyn Fn(&mut World)| {
        let mut world = scaled_out(4, 2);
        change(&mut world);
        let (stated, _) = world.decide();
        assert_eq!(stated[READY].status, ConditionStatus::False, "{:?}", stated[READY]);
    };
    // A replica that was ready is gone, or was never ready.
    not_ready(&|world| world.applied.deployment = Some(deployment(4, 1)));
    not_ready(&|world| world.before.ready_replicas = 3);
    not_ready(&|world| world.before.conditions.clear());
    // Another template is being rolled out.
    not_ready(&|world| world.template_observed = false);
    not_ready(&|world| {
        world.applied.deployment.as_mut().unwrap().status.as_mut().unwrap().updated_replicas = Some(3);
    });
    // The start takes too long, or a quota refuses the new replicas.
    let progress = |since| condition(PROGRESSING, "Scaling", since);
    not_ready(&|world| world.before.conditions.push(progress(Timestamp::UNIX_EPOCH - 10.minutes())));
    not_ready(&|world| {
        let refused = json!([{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]);
        let status = world.applied.deployment.as_mut().unwrap().status.as_mut().unwrap();
        status.conditions = serde_json::from_value(refused).unwrap();
    });
    let mut slow = scaled_out(4, 2);
    slow.before.conditions.push(progress(Timestamp::UNIX_EPOCH - 9.minutes()));
    slow.expect_condition(READY, ConditionStatus::True, "Available");
    // An obstacle that can pass is reported.
    slow.external_state.pods = vec![waiting_pod("demo-3", "ImagePullBackOff")];
    let message = slow.expect_condition(READY, ConditionStatus::True, "Available");
    assert!(message.ends_with("Pod demo-3 is waiting: ImagePullBackOff."), "{message}");
}

#[test]
fn a_change_of_the_number_of_replicas_keeps_the_observed_template() {
    let mut known = None;
    let mut deployment = deployment(1, 1);
    assert!(!note_template(&mut known, None));
    deployment.metadata.generation = Some(3);
    assert!(!note_template(&mut known, Some(&deployment)), "nothing is known in a new process");
    deployment.metadata.generation = Some(2);
    assert!(note_template(&mut known, Some(&deployment)));
    deployment.metadata.generation = Some(3);
    deployment.spec.replicas = Some(9);
    assert!(note_template(&mut known, Some(&deployment)));
    deployment.spec.template.metadata = Some(serde_json::from_value(json!({"labels": {"a": "b"}})).unwrap());
    assert!(!note_template(&mut known, Some(&deployment)));
}

//! What the message of `Ready` says about pods and Jobs that make no progress.

use k8s_openapi::api::core::v1::Pod;
use latchkey_crds::conditions::READY;
use serde_json::{Value, json};

use super::facts::ConditionStatus;
use super::tests::{World, deployment, waiting_pod};
use crate::auth_service::fixtures::{auth_service, embedded, validated};

fn pod(name: &str, conditions: &Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": name}, "status": {"conditions": conditions}})).unwrap()
}

/// One replica of two is ready.
fn incomplete() -> World {
    let mut world = World::healthy();
    world.service = validated(&auth_service(json!({"replicas": 2})), embedded());
    world.applied.deployment = Some(deployment(2, 1));
    world
}

#[test]
fn the_message_is_about_a_pod_that_is_not_ready() {
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let mut world = incomplete();
    let message = |world: &World, reason| world.expect_condition(READY, ConditionStatus::False, reason);
    for unready in [
        json!([]),
        json!([{"type": "Ready", "status": "False"}]),
        json!([{"type": "Initialized", "status": "True"}]),
    ] {
        let mut waiting = serde_json::to_value(waiting_pod("demo-2", "CrashLoopBackOff")).unwrap();
        waiting["status"]["conditions"] = unready;
        world.external_state.pods = vec![pod("demo-1", &ready), serde_json::from_value(waiting).unwrap()];
        let message = message(&world, "PodsNotStarting");
        assert!(message.ends_with("Pod demo-2 is waiting: CrashLoopBackOff."), "{message}");
    }
    world.external_state.pods = vec![pod("demo-1", &ready)];
    assert_eq!(message(&world, "ReplicasNotReady"), "1 of 2 replicas are ready.");
}

#[test]
fn the_message_says_why_a_pod_is_not_scheduled() {
    let mut world = incomplete();
    let mut message = |type_: &str, status: &str, reason: &str| {
        let condition = json!({"type": type_, "status": status, "message": "0/3 nodes are available"});
        world.external_state.pods = vec![pod("demo-2", &json!([condition]))];
        world.expect_condition(READY, ConditionStatus::False, reason)
    };
    let unscheduled = message("PodScheduled", "False", "PodsNotStarting");
    assert!(unscheduled.ends_with("Pod demo-2 is not scheduled: 0/3 nodes are available"), "{unscheduled}");
    for (type_, status) in [("PodScheduled", "True"), ("Initialized", "False")] {
        assert_eq!(message(type_, status, "ReplicasNotReady"), "1 of 2 replicas are ready.");
    }
}

#[test]
fn the_message_says_why_no_pod_can_be_created() {
    let message = |type_: &str, status: &str, reason: &str| {
        let mut world = incomplete();
        let condition = json!({"type": type_, "status": status, "message": "exceeded quota."});
        let status = world.applied.deployment.as_mut().unwrap().status.as_mut().unwrap();
        status.conditions = Some(vec![serde_json::from_value(condition).unwrap()]);
        world.expect_condition(READY, ConditionStatus::False, reason)
    };
    let refused = message("ReplicaFailure", "True", "PodsNotCreated");
    assert!(refused.ends_with("No pod can be created: exceeded quota."), "{refused}");
    for (type_, status) in [("ReplicaFailure", "False"), ("Progressing", "True")] {
        assert_eq!(message(type_, status, "ReplicasNotReady"), "1 of 2 replicas are ready.");
    }
}

#[test]
fn a_service_scaled_to_zero_says_how_to_start_it() {
    let message = |spec: Value| {
        let mut world = World::healthy();
        world.service = validated(&auth_service(spec), embedded());
        let mut deployment = deployment(0, 0);
        deployment.spec.replicas = Some(0);
        world.applied.deployment = Some(deployment);
        world.expect_condition(READY, ConditionStatus::False, "ScaledToZero")
    };
    assert!(message(json!({"replicas": 0})).contains("increase spec.replicas"));
    assert!(message(json!({"autoscaling": {"maxReplicas": 9}})).contains("kubectl scale deployment demo"));
}

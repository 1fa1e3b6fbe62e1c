//! Paused AuthServices, and the conditions of kstatus.

use latchkey_crds::conditions as types;
use serde_json::json;

use super::tests::World;
use crate::auth_service::fixtures::{auth_service, embedded, validated};
use crate::auth_service::problem::Problem;
use crate::auth_service::render::Schema;
use crate::auth_service::status::facts::ConditionStatus;

fn paused(pending: bool) -> World {
    let service = validated(&auth_service(json!({"paused": true})), embedded());
    let mut world = World { service, ..World::healthy() };
    world.applied.pending = pending;
    world
}

#[test]
fn a_pause_without_pending_changes_keeps_ready_true() {
    let world = paused(false);
    world.expect_condition(types::PAUSED, ConditionStatus::True, "Paused");
    world.expect_condition(types::READY, ConditionStatus::True, "Available");
    world.expect_condition(types::PROGRESSING, ConditionStatus::False, "Paused");
    world.expect_condition(types::STALLED, ConditionStatus::False, "NotStalled");
}

#[test]
fn a_pending_change_during_a_pause_is_not_ready_and_stalled() {
    let world = paused(true);
    assert!(
        world
            .expect_condition(types::READY, ConditionStatus::False, "Paused")
            .contains("set spec.paused to false")
    );
    world.expect_condition(types::STALLED, ConditionStatus::True, "Paused");
    world.expect_condition(types::RECONCILING, ConditionStatus::False, "Paused");
}

#[test]
fn kstatus_reports_a_rollout_as_in_progress_and_a_problem_as_a_failure() {
    let mut world = World::healthy();
    world.expect_condition(types::RECONCILING, ConditionStatus::False, "Settled");
    world.applied.schema = Schema::Migrating;
    world.expect_condition(types::RECONCILING, ConditionStatus::True, "Migrating");
    world.expect_condition(types::STALLED, ConditionStatus::False, "NotStalled");
    world.applied.schema = Schema::Migrated;
    world.applied.refused = vec![Problem::new("ApplyRefused", "why")];
    world.expect_condition(types::RECONCILING, ConditionStatus::False, "Blocked");
    assert_eq!(world.expect_condition(types::STALLED, ConditionStatus::True, "ApplyRefused"), "why");
}

#[test]
fn an_autoscaled_deployment_is_ready_at_the_scale_that_the_autoscaler_set() {
    let mut world = World::healthy();
    world.service = validated(&auth_service(json!({"autoscaling": {"maxReplicas": 9}})), embedded());
    let mut deployment = super::tests::deployment(4, 4);
    deployment.spec.replicas = Some(4);
    world.applied.deployment = Some(deployment.clone());
    assert_eq!(
        world.expect_condition(types::READY, ConditionStatus::True, "Available"),
        "4 of 4 replicas are ready."
    );
    deployment.spec.replicas = Some(5);
    world.applied.deployment = Some(deployment);
    world.expect_condition(types::READY, ConditionStatus::False, "ReplicasNotReady");
}

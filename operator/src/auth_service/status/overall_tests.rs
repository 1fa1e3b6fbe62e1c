//! The overall state of every condition case, as tools read it: the conditions `Ready`, `Paused`, `Reconciling` and
//! `Stalled`. `tests/operator/argo_cd.rs` runs the health check of Argo CD on the snapshot.

use k8s_openapi::jiff::Timestamp;
use latchkey_crds::conditions as types;
use serde_json::{Value, json};

use super::documented_tests::worlds;
use super::facts::Verdict;
use super::tests::World;
use super::unreadable;

const OVERALL: [&str; 4] = [types::READY, types::PAUSED, types::RECONCILING, types::STALLED];

fn conditions(world: &World) -> Vec<Value> {
    let (conditions, _) = world.decide();
    let condition = |kind: &str| {
        let stated = &conditions[kind];
        json!({"type": kind, "status": stated.status.as_str(), "reason": stated.reason, "message": stated.message})
    };
    OVERALL.map(condition).to_vec()
}

/// What kstatus computes from the conditions of a custom resource whose generation is observed (cli-utils,
/// `pkg/kstatus/status/generic.go` and the condition `Ready`).
fn kstatus(conditions: &[Value]) -> &'static str {
    let holds = |condition: &&Value, kind: &str, status: &str| {
        condition["type"] == kind && condition["status"] == status
    };
    for condition in conditions {
        if holds(&condition, types::RECONCILING, "True") {
            return "InProgress";
        }
        if holds(&condition, types::STALLED, "True") {
            return "Failed";
        }
    }
    match conditions.iter().find(|condition| condition["type"] == types::READY) {
        Some(ready) if ready["status"] == "True" => "Current",
        _ => "InProgress",
    }
}

fn cases() -> Vec<Value> {
    let mut cases: Vec<Value> = worlds()
        .iter()
        .map(|world| json!({"verdict": format!("{:?}", world.decide().1), "conditions": conditions(world)}))
        .collect();
    for change in [|_: &mut World| {}, |world: &mut World| world.applied.deployment = None] {
        let mut before = World::healthy();
        change(&mut before);
        let after = unreadable::merge(&conditions(&before), "why", None, Timestamp::UNIX_EPOCH);
        cases.push(json!({"verdict": "Blocked", "conditions": after}));
    }
    let mut distinct: Vec<Value> = Vec::new();
    for case in cases {
        if !distinct.contains(&case) {
            distinct.push(case);
        }
    }
    distinct
}

#[test]
fn the_overall_state_of_every_condition_case() {
    insta::assert_json_snapshot!(cases());
}

#[test]
fn kstatus_agrees_with_the_operator_in_every_condition_case() {
    for world in worlds() {
        let conditions = conditions(&world);
        let ready = conditions.iter().find(|condition| condition["type"] == types::READY).unwrap();
        let expected = match world.decide().1 {
            Verdict::Blocked => "Failed",
            Verdict::InProgress => "InProgress",
            Verdict::Settled if ready["status"] == "True" => "Current",
            // Nothing is wrong, and nothing serves.
            Verdict::Settled => {
                assert_eq!(ready["reason"], "ScaledToZero", "{conditions:?}");
                "InProgress"
            }
        };
        assert_eq!(kstatus(&conditions), expected, "{conditions:#?}");
        let is_true =
            |kind: &str| conditions.iter().any(|one| one["type"] == kind && one["status"] == "True");
        assert!(!(is_true(types::RECONCILING) && is_true(types::STALLED)), "{conditions:#?}");
        assert!(!(is_true(types::READY) && is_true(types::STALLED)), "{conditions:#?}");
    }
}

#[test]
fn an_unreadable_auth_service_has_failed_whatever_it_did_before() {
    let mut rolling = World::healthy();
    rolling.applied.deployment = None;
    let mut before = conditions(&rolling);
    assert_eq!(kstatus(&before), "InProgress");
    for _ in 0..before.len() {
        before.rotate_left(1);
        let after = unreadable::merge(&before, "why", None, Timestamp::UNIX_EPOCH);
        assert_eq!(kstatus(&after), "Failed");
        let reconciling = after.iter().find(|condition| condition["type"] == types::RECONCILING).unwrap();
        assert_eq!(reconciling["status"], "False");
    }
}

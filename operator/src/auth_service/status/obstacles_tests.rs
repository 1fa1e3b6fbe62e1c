//! Obstacles of each workload, and when they stall the service.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{Timestamp, ToSpan};
use latchkey_crds::conditions::{DATABASE_REACHABLE, EMBEDDED_STORES, READY, SCHEMA_MIGRATED, STALLED};
use serde_json::{Value, json};

use super::facts::{ConditionStatus, Facts, Verdict};
use super::obstacles::next_stall;
use super::tests::{World, deployment};
use crate::auth_service::fixtures::{auth_service, embedded, validated};
use crate::auth_service::render::Schema;
use crate::auth_service::warnings::{Store, Warning, without_pod_since};
use crate::names::Component;

/// The time at which every pod of these tests was created; the conditions are decided at 1970-01-01T00:00:00Z.
const CREATED: &str = "1969-12-31T23:59:50Z";

fn pod(status: &Value) -> Pod {
    let metadata = json!({"name": "p-0", "uid": "pod", "creationTimestamp": CREATED});
    serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
}

fn container(name: &str, state: &Value, last: &Value) -> Value {
    json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state, "lastState": last})
}

fn waiting(reason: &str, message: &str) -> Value {
    let state = json!({"waiting": {"reason": reason, "message": message}});
    json!({"phase": "Pending", "containerStatuses": [container("it", &state, &json!({}))]})
}

/// Each state of a pod that cannot run, with its description.
fn states() -> Vec<(Value, &'static str)> {
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let back_off = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
    let crashing = json!({"containerStatuses": [container("it", &back_off, &killed)]});
    let beside = json!({"containerStatuses": [
        container("proxy", &json!({"waiting": {"reason": "ErrImagePull"}}), &json!({})),
        container("it", &json!({"running": {}}), &json!({})),
    ]});
    let init = json!({
        "initContainerStatuses": [container("first", &back_off, &killed)],
        "containerStatuses": [container("it", &json!({"waiting": {"reason": "PodInitializing"}}), &json!({}))],
    });
    let failing = json!({
        "initContainerStatuses": [container("first", &killed, &json!({}))],
        "containerStatuses": [container("it", &json!({"waiting": {"reason": "PodInitializing"}}), &json!({}))],
    });
    let unscheduled = |message: &str| json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]});
    let volume = "pod has unbound immediate PersistentVolumeClaims";
    vec![
        (waiting("ErrImagePull", "no such image."), "Pod p-0 is waiting: ErrImagePull: no such image."),
        (waiting("InvalidImageName", "bad"), "Pod p-0 is waiting: InvalidImageName: bad."),
        (
            waiting("CreateContainerConfigError", "secret \"s\" not found"),
            "Pod p-0 is waiting: CreateContainerConfigError: secret \"s\" not found.",
        ),
        (
            crashing,
            "Pod p-0 is waiting: CrashLoopBackOff: back-off 10s. The last run ended with exit code 137, OOMKilled.",
        ),
        (beside, "Container proxy of pod p-0 is waiting: ErrImagePull."),
        (
            init,
            "The init container first of pod p-0 is waiting: CrashLoopBackOff: back-off 10s. The last run ended with exit code 137, OOMKilled.",
        ),
        (failing, "The init container first of pod p-0 terminated with an error: OOMKilled"),
        (unscheduled("0/3 nodes are available"), "Pod p-0 is not scheduled: 0/3 nodes are available"),
        (unscheduled(volume), "Pod p-0 is not scheduled: pod has unbound immediate PersistentVolumeClaims"),
        (
            json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
            "Pod p-0 failed: Evicted: The node was low on resource: memory.",
        ),
    ]
}

fn store(component: Component, pods: Vec<Pod>) -> Store {
    let stateful_set =
        json!({"metadata": {"name": "set", "uid": "set"}, "spec": {"selector": {}, "template": {}}});
    Store { component, stateful_set: serde_json::from_value(stateful_set).unwrap(), pods }
}

fn incomplete() -> World {
    let mut world = World::healthy();
    world.applied.deployment = Some(deployment(1, 0));
    world.external_state.answers.clear();
    world
}

#[test]
fn each_workload_reports_each_state_of_its_pod() {
    for (status, words) in states() {
        let mut world = incomplete();
        world.external_state.pods = vec![pod(&status)];
        let message = world.expect_condition(READY, ConditionStatus::False, "PodsNotStarting");
        assert!(message.ends_with(words), "server: {message}, not {words}");

        let mut world = World::healthy();
        world.applied.schema = Schema::WaitingForDatabase;
        world.external_state.stores = vec![store(Component::Postgres, vec![pod(&status)])];
        for type_ in [READY, SCHEMA_MIGRATED] {
            let message = world.expect_condition(type_, ConditionStatus::False, "DatabaseNotStarting");
            assert!(message.ends_with(words), "postgres: {message}, not {words}");
        }

        let mut world = World::healthy();
        world.external_state.stores = vec![store(Component::Redis, vec![pod(&status)])];
        let message = world.expect_condition(EMBEDDED_STORES, ConditionStatus::True, "StoreNotStarting");
        assert!(message.ends_with(words), "redis: {message}, not {words}");
        world.expect_condition(READY, ConditionStatus::True, "Available");

        let mut world = World::healthy();
        world.applied.schema = Schema::Migrating;
        world.external_state.migration_pods = vec![pod(&status)];
        let message = world.decide().0[READY].message.clone();
        assert!(message.contains(words.strip_prefix("Pod p-0 failed: ").unwrap_or(words)), "{message}");
    }
}

#[test]
fn a_store_that_stops_later_is_the_reason_of_servers_that_wait_for_it() {
    let mut world = incomplete();
    world.external_state.stores =
        vec![store(Component::Postgres, vec![pod(&waiting("ErrImagePull", "gone"))])];
    let message = world.expect_condition(READY, ConditionStatus::False, "PodsNotStarting");
    assert!(message.ends_with("Pod p-0 is waiting: ErrImagePull: gone."), "{message}");
    let message = world.expect_condition(DATABASE_REACHABLE, ConditionStatus::Unknown, "NoReplicaReports");
    assert!(message.ends_with("Pod p-0 is waiting: ErrImagePull: gone."), "{message}");
}

#[test]
fn a_workload_without_a_pod_reports_the_warning_of_its_controller() {
    let warning = || {
        let note = "create Pod set-0 in StatefulSet set failed error: exceeded quota".to_owned();
        ("set".to_owned(), Warning { reason: "FailedCreate".to_owned(), note })
    };
    let mut world = World::healthy();
    world.applied.schema = Schema::WaitingForDatabase;
    world.external_state.stores = vec![store(Component::Postgres, Vec::new())];
    let since = |text: &str| text.parse::<Timestamp>().unwrap();
    world.external_state.warnings.without_pod.insert("set".to_owned(), since("1969-12-31T23:59:56Z"));
    world.external_state.warnings.newest.extend([warning()]);
    world.expect_condition(READY, ConditionStatus::False, "WaitingForDatabase");
    world.external_state.warnings.without_pod.insert("set".to_owned(), since("1969-12-31T23:59:55Z"));
    let message = world.expect_condition(READY, ConditionStatus::False, "DatabaseNotStarting");
    assert!(message.contains("exceeded quota (kubectl describe statefulset set)."), "{message}");
    world.external_state.warnings.newest.clear();
    let message = world.expect_condition(READY, ConditionStatus::False, "DatabaseNotStarting");
    assert!(message.contains("run kubectl describe statefulset set"), "{message}");
}

#[test]
fn a_pod_that_does_not_start_for_long_reports_its_warning() {
    let mut world = incomplete();
    let scheduled = |at: &str| {
        json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": at},
        ]})
    };
    let note = "MountVolume.SetUp failed for volume \"keys\"".to_owned();
    let warning = Warning { reason: "FailedMount".to_owned(), note };
    world.external_state.warnings.newest.insert("pod".to_owned(), warning);
    world.external_state.pods = vec![pod(&scheduled("1969-12-31T23:59:51Z"))];
    world.expect_condition(READY, ConditionStatus::False, "ReplicasNotReady");
    world.external_state.pods = vec![pod(&scheduled("1969-12-31T23:59:50Z"))];
    let message = world.expect_condition(READY, ConditionStatus::False, "PodsNotStarting");
    let expected = "Pod p-0 has not started: FailedMount: MountVolume.SetUp failed for volume \"keys\".";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn a_pod_that_outlives_its_grace_period_is_reported() {
    let mut world = incomplete();
    let deleted = |at: &str| {
        let mut pod = pod(&json!({"phase": "Running", "conditions": [
            {"type": "DisruptionTarget", "status": "True", "message": "Taint manager: deleting due to NoExecute taint"},
        ]}));
        pod.metadata.deletion_timestamp = serde_json::from_value(json!(at)).unwrap();
        pod
    };
    world.external_state.pods = vec![deleted("1969-12-31T23:59:46Z")];
    world.expect_condition(READY, ConditionStatus::False, "ReplicasNotReady");
    world.external_state.pods = vec![deleted("1969-12-31T23:59:45Z")];
    let message = world.expect_condition(READY, ConditionStatus::False, "PodsNotStarting");
    assert!(
        message.contains("Pod p-0 does not terminate (Taint manager: deleting due to NoExecute taint)"),
        "{message}"
    );
}

#[test]
fn a_store_that_takes_long_without_a_reason_is_reported() {
    let decide = |status: &Value, created: &str| {
        let mut world = World::healthy();
        world.applied.schema = Schema::WaitingForDatabase;
        let mut pod = pod(status);
        pod.metadata.creation_timestamp = serde_json::from_value(json!(created)).unwrap();
        world.external_state.stores = vec![store(Component::Postgres, vec![pod])];
        world.decide().0[READY].message.clone()
    };
    let pending = json!({"phase": "Pending"});
    assert!(decide(&pending, "1969-12-31T23:59:01Z").contains("is starting"));
    assert!(
        decide(&pending, "1969-12-31T23:59:00Z").contains("Pod p-0 has been pending for more than a minute")
    );
    let running = |since: &str| json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": since}]});
    let created = "1969-12-31T00:00:00Z";
    assert!(decide(&running("1969-12-31T23:57:01Z"), created).contains("is starting"));
    assert!(decide(&running("1969-12-31T23:57:00Z"), created).contains("kubectl logs p-0"));
}

#[test]
fn a_stuck_rollout_repeats_what_the_quota_or_the_scheduler_says() {
    let stuck = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"});
    let refused = json!({"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: limits"});
    let mut world = incomplete();
    let status = world.applied.deployment.as_mut().unwrap().status.as_mut().unwrap();
    status.conditions = serde_json::from_value(json!([stuck.clone(), refused])).unwrap();
    let message = world.expect_condition(READY, ConditionStatus::False, "RolloutStuck");
    assert!(message.ends_with("No pod can be created: exceeded quota: limits."), "{message}");
    let status = world.applied.deployment.as_mut().unwrap().status.as_mut().unwrap();
    status.conditions = serde_json::from_value(json!([stuck])).unwrap();
    let words = "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules";
    let unscheduled = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": words}]});
    world.external_state.pods = vec![pod(&unscheduled)];
    let message = world.expect_condition(READY, ConditionStatus::False, "RolloutStuck");
    assert!(message.ends_with(words), "{message}");
}

#[test]
fn an_obstacle_that_lasts_stalls_the_service() {
    let decide = |created: &str, reason: &str| {
        let mut world = incomplete();
        world.service = validated(&auth_service(json!({})), embedded());
        let mut pod = pod(&waiting(reason, "why"));
        pod.metadata.creation_timestamp = serde_json::from_value(json!(created)).unwrap();
        world.external_state.pods = vec![pod];
        let (stated, verdict) = world.decide();
        let stalled = verdict == Verdict::Blocked;
        assert_eq!(stated[STALLED].status == ConditionStatus::True, stalled);
        // Nothing says that no action is needed.
        assert!(stated[STALLED].message.contains(reason), "{:?}", stated[STALLED]);
        let facts = Facts {
            service: &world.service,
            external_state: &world.external_state,
            applied: &world.applied,
            before: &world.before,
            template_observed: false,
            now: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(next_stall(&facts).is_none_or(|left| left.is_zero()), stalled);
        stalled
    };
    assert!(!decide("1969-12-31T23:59:46Z", "InvalidImageName"));
    assert!(decide("1969-12-31T23:59:45Z", "InvalidImageName"));
    assert!(!decide("1969-12-31T23:59:01Z", "ImagePullBackOff"));
    assert!(decide("1969-12-31T23:59:00Z", "ImagePullBackOff"));
}

#[test]
fn a_job_has_no_pod_until_one_is_counted() {
    let start = Timestamp::UNIX_EPOCH + 1.hour();
    let job = |status: Value| serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
    let started = start.to_string();
    assert_eq!(without_pod_since(&job(json!({"startTime": started}))), Some(start));
    assert_eq!(without_pod_since(&job(json!({}))), None);
    for count in ["active", "failed", "succeeded", "terminating"] {
        assert_eq!(without_pod_since(&job(json!({"startTime": started, count: 1}))), None, "{count}");
    }
}

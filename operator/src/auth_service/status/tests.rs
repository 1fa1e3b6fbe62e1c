//! The conditions, for given facts.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::core::v1::Pod;
use latchkey_crds::conditions as types;
use serde_json::json;

use super::facts::{ConditionStatus, Stated, Verdict};
use super::*;
use crate::auth_service::fixtures::{auth_service, embedded, external_state, full, full_spec, validated};
use crate::auth_service::problem::Problem;
use crate::auth_service::render::Schema;
use crate::auth_service::server_reports::{
    DatabasePool, Dependency, LoadedClients, LoadedKey, Report, Revocation,
};
use crate::cluster::cache::Presence;
use crate::cluster::kinds::Kind;
use crate::signing_keys::{KeyMaterial, Progress};

/// The facts; a healthy service until a test changes something.
pub(super) struct World {
    pub(super) service: Validated,
    pub(super) external_state: ExternalState,
    pub(super) applied: Applied,
    pub(super) before: AuthServiceStatus,
    pub(super) template_observed: bool,
}

impl World {
    pub(super) fn healthy() -> Self {
        let answers = vec![Answer { pod: "demo-1".to_owned(), report: Some(report()), fault: None }];
        Self {
            service: validated(&auth_service(json!({})), embedded()),
            external_state: ExternalState { answers, ..external_state(Presence::Absent) },
            applied: Applied {
                deployment: Some(deployment(1, 1)),
                schema: Schema::Migrated,
                name_conflicts: Vec::new(),
                refused: Vec::new(),
                contested: Vec::new(),
                pending: false,
                queued: None,
                has_registry: false,
            },
            before: AuthServiceStatus::default(),
            template_observed: false,
        }
    }

    pub(super) fn decide(&self) -> (BTreeMap<&'static str, Stated>, Verdict) {
        let facts = Facts {
            service: &self.service,
            external_state: &self.external_state,
            applied: &self.applied,
            before: &self.before,
            template_observed: self.template_observed,
            now: Timestamp::UNIX_EPOCH,
        };
        let (stated, verdict) = decide_conditions(&facts);
        let order: Vec<&str> = stated.iter().map(|stated| stated.type_).collect();
        assert_eq!(order, types::ALL, "every condition is always there");
        (stated.into_iter().map(|stated| (stated.type_, stated)).collect(), verdict)
    }

    pub(super) fn expect_condition(&self, type_: &str, status: ConditionStatus, reason: &str) -> String {
        let (stated, _) = self.decide();
        let stated = &stated[type_];
        assert_eq!((stated.status, stated.reason), (status, reason), "{stated:?}");
        stated.message.clone()
    }

    pub(super) fn report(&mut self) -> &mut Report {
        self.external_state.answers[0].report.as_mut().unwrap()
    }
}

pub(super) fn deployment(updated: i32, ready: i32) -> Deployment {
    let mut deployment = Deployment::default();
    deployment.metadata.generation = Some(2);
    deployment.status = Some(DeploymentStatus {
        observed_generation: Some(2),
        replicas: Some(updated),
        updated_replicas: Some(updated),
        ready_replicas: Some(ready),
        ..DeploymentStatus::default()
    });
    deployment
}

pub(super) fn waiting_pod(name: &str, reason: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "status": {"containerStatuses": [{"name": "it", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason}}}]},
    }))
    .unwrap()
}

pub(super) fn ready_pod(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap()
}

pub(super) fn report() -> Report {
    let dependency = Dependency { ready: true, message: String::new(), reason: None };
    Report {
        version: Some("1.2.3".to_owned()),
        schema_version: Some(1),
        required_schema_version: Some(1),
        oldest_tolerated_server: Some(1),
        signing_keys: vec![LoadedKey { kid: "k1".to_owned(), phase: Some("active".to_owned()) }],
        time: None,
        jwks_max_age: None,
        longest_token_lifetime: None,
        revocation: Some(Revocation { mode: "redis".to_owned(), message: String::new() }),
        clients: LoadedClients::Unsupported,
        database_pool: None,
        dependencies: ["database", "redis", "mail", "token_reviews"]
            .into_iter()
            .map(|name| (name.to_owned(), dependency.clone()))
            .collect(),
    }
}

#[test]
fn pools_that_exceed_the_limit_of_the_database_are_reported_while_it_is_reachable() {
    let mut world = World::healthy();
    let pool: DatabasePool =
        serde_json::from_value(json!({"size": 20, "warning": "6 replicas exceed 97"})).unwrap();
    world.report().database_pool = Some(pool);
    let message =
        world.expect_condition(types::DATABASE_REACHABLE, ConditionStatus::True, "PoolsExceedLimit");
    assert!(
        message.contains("6 replicas exceed 97") && message.contains("spec.database.poolSize"),
        "{message}"
    );
    world.expect_condition(types::READY, ConditionStatus::True, "Available");
    world.report().dependencies.get_mut("database").unwrap().ready = false;
    world.expect_condition(types::DATABASE_REACHABLE, ConditionStatus::False, "Unreachable");
}

#[test]
fn a_healthy_service_is_ready_and_settled() {
    let world = World::healthy();
    world.expect_condition(types::READY, ConditionStatus::True, "Available");
    world.expect_condition(types::PROGRESSING, ConditionStatus::False, "Settled");
    world.expect_condition(types::DATABASE_REACHABLE, ConditionStatus::True, "Reachable");
    world.expect_condition(types::KEYS_READY, ConditionStatus::True, "Loaded");
    world.expect_condition(types::REVOCATION_STORE_READY, ConditionStatus::True, "Redis");
    assert_eq!(world.decide().1, Verdict::Settled);
}

#[test]
fn a_deployment_that_its_controller_has_not_observed_is_not_ready() {
    let mut world = World::healthy();
    world.applied.deployment.as_mut().unwrap().metadata.generation = Some(3);
    world.expect_condition(types::READY, ConditionStatus::False, "ReplicasNotReady");
    world.expect_condition(types::PROGRESSING, ConditionStatus::True, "RollingOut");
    assert_eq!(world.decide().1, Verdict::InProgress);
}

#[test]
fn a_missing_replica_is_not_a_rollout() {
    let mut world = World::healthy();
    world.applied.deployment = Some(deployment(1, 0));
    world.expect_condition(types::READY, ConditionStatus::False, "ReplicasNotReady");
    world.expect_condition(types::PROGRESSING, ConditionStatus::False, "Settled");
}

#[test]
fn the_message_names_a_waiting_container() {
    let mut world = World::healthy();
    world.applied.deployment = Some(deployment(1, 0));
    world.external_state.pods = vec![waiting_pod("demo-1", "ImagePullBackOff")];
    let message = world.expect_condition(types::READY, ConditionStatus::False, "PodsNotStarting");
    assert!(message.contains("demo-1") && message.contains("ImagePullBackOff"), "{message}");
}

#[test]
fn the_termination_message_of_a_server_is_in_the_message() {
    let mut world = World::healthy();
    world.applied.deployment = Some(deployment(1, 0));
    world.external_state.answers.clear();
    let mut pod = serde_json::to_value(waiting_pod("demo-1", "CrashLoopBackOff")).unwrap();
    let ended =
        json!({"terminated": {"exitCode": 1, "message": "a\nlatchkey-server: the password is too common\n"}});
    pod["status"]["containerStatuses"][0]["lastState"] = ended;
    world.external_state.pods = vec![serde_json::from_value(pod).unwrap()];
    let message = world.expect_condition(types::READY, ConditionStatus::False, "PodsNotStarting");
    assert!(
        message.ends_with("Pod demo-1 terminated with an error: the password is too common"),
        "{message}"
    );
}

#[test]
fn a_migration_that_cannot_start_reports_the_reason() {
    let mut world = World::healthy();
    world.applied.schema = Schema::Migrating;
    world.expect_condition(types::SCHEMA_MIGRATED, ConditionStatus::False, "Migrating");
    for (reason, said) in [("ContainerCreating", "Migrating"), ("ImagePullBackOff", "MigrationWaiting")] {
        world.external_state.migration_pods = vec![waiting_pod("demo-migrate-1", reason)];
        world.expect_condition(types::READY, ConditionStatus::False, said);
        let message = world.expect_condition(types::SCHEMA_MIGRATED, ConditionStatus::False, said);
        assert_eq!(message.contains("Pod demo-migrate-1 is waiting: ImagePullBackOff."), said != "Migrating");
    }
}

#[test]
fn a_job_without_a_pod_is_reported_after_a_delay() {
    let mut world = World::healthy();
    world.applied.schema = Schema::Migrating;
    let reported = |world: &mut World, status: serde_json::Value, reason: &str| {
        let job = json!({"metadata": {"name": "demo-migrate-1"}, "status": status});
        world.external_state.jobs = vec![serde_json::from_value(job).unwrap()];
        world.expect_condition(types::SCHEMA_MIGRATED, ConditionStatus::False, reason);
    };
    let (now, before) = ("1970-01-01T00:00:00Z", "1969-12-31T23:59:55Z");
    reported(&mut world, json!({}), "Migrating");
    reported(&mut world, json!({"startTime": now}), "Migrating");
    reported(&mut world, json!({"startTime": before}), "MigrationWaiting");
    reported(&mut world, json!({"startTime": before, "active": 1}), "Migrating");
    let ended = json!({"succeeded": ["0d6c"]});
    reported(&mut world, json!({"startTime": before, "uncountedTerminatedPods": ended}), "Migrating");
}

#[test]
fn a_dependency_that_a_pod_waits_for_is_named_in_the_message() {
    let mut world = World::healthy();
    world.applied.deployment = Some(deployment(1, 0));
    world.external_state.pods =
        vec![serde_json::from_value(json!({"metadata": {"name": "demo-1"}, "status": {}})).unwrap()];
    let dependency = Dependency { ready: false, message: "connection refused".to_owned(), reason: None };
    world.report().dependencies.insert("database".to_owned(), dependency);
    let message = world.expect_condition(types::READY, ConditionStatus::False, "ReplicasNotReady");
    assert!(message.contains("database: connection refused"), "{message}");
    world.expect_condition(types::DATABASE_REACHABLE, ConditionStatus::False, "Unreachable");
}

#[test]
fn a_database_that_accepts_no_writes_has_a_reason_of_its_own() {
    let mut world = World::healthy();
    let dependency = Dependency {
        ready: false,
        message: "the database is a read-only standby".to_owned(),
        reason: Some("read_only".to_owned()),
    };
    world.report().dependencies.insert("database".to_owned(), dependency);
    let message =
        world.expect_condition(types::DATABASE_REACHABLE, ConditionStatus::False, "DatabaseReadOnly");
    assert!(message.contains("read-only standby"), "{message}");
}

#[test]
fn an_invalid_report_names_the_pod() {
    use crate::auth_service::server_reports::Fault;
    let mut world = World::healthy();
    let faulty = Answer { pod: "demo-2".to_owned(), report: None, fault: Some(Fault::TooLong) };
    world.external_state.answers.push(faulty);
    let message = world.expect_condition(types::DATABASE_REACHABLE, ConditionStatus::True, "Reachable");
    assert!(
        message.contains("Pod demo-2 returned an invalid response to GET /status (larger than 16 KiB)"),
        "{message}"
    );
    world.external_state.answers.remove(0);
    let message =
        world.expect_condition(types::DATABASE_REACHABLE, ConditionStatus::Unknown, "NoReplicaReports");
    assert!(
        message.contains("Pod demo-2 returned an invalid response to GET /status (larger than 16 KiB)"),
        "{message}"
    );
}

#[test]
fn without_a_report_the_state_is_unknown() {
    let mut world = World::healthy();
    world.external_state.answers[0].report = None;
    for type_ in [types::DATABASE_REACHABLE, types::REVOCATION_STORE_READY] {
        world.expect_condition(type_, ConditionStatus::Unknown, "NoReplicaReports");
    }
    world.expect_condition(types::KEYS_READY, ConditionStatus::True, "Stored");
}

#[test]
fn lost_keys_are_reported_by_both_conditions_with_the_secret() {
    let mut world = World::healthy();
    world.service.keys = KeyMaterial::Lost("the Secret is gone".to_owned());
    world.expect_condition(types::KEYS_READY, ConditionStatus::False, "KeyMaterialLost");
    let message = world.expect_condition(types::READY, ConditionStatus::False, "KeyMaterialLost");
    assert!(message.contains("demo-jwt-keys"), "{message}");
    assert_eq!(world.decide().1, Verdict::Blocked);
}

#[test]
fn a_replica_without_the_key_is_named() {
    let mut world = World::healthy();
    world.report().signing_keys.clear();
    let message = world.expect_condition(types::KEYS_READY, ConditionStatus::False, "NotLoaded");
    assert!(message.contains("demo-1"), "{message}");
}

#[test]
fn a_rotation_is_reported_and_a_delayed_one_needs_action() {
    let mut world = World::healthy();
    let why = "key k2 waits for pod demo-1 to load it".to_owned();
    world.service.rotation.status.progress = Progress::Rotating(why.clone());
    world.expect_condition(types::KEYS_READY, ConditionStatus::True, "Rotating");
    world.service.rotation.status.progress = Progress::ReplicaLags(why);
    let message = world.expect_condition(types::KEYS_READY, ConditionStatus::False, "ReplicaLags");
    assert!(message.contains("demo-1"), "{message}");
    assert!(facts::needs_action("ReplicaLags"));
}

#[test]
fn a_missing_secret_has_priority_over_other_problems() {
    let problem = Problem::new("SecretMissing", "the Secret db does not exist");
    let mut found = full();
    found.database_url = Some(Err(problem.clone()));
    let service = validated(&auth_service(full_spec()), found);
    let mut world = World { service, ..World::healthy() };
    world.applied.schema = Schema::Blocked(problem);
    world.applied.name_conflicts = vec![(Kind::Service, "demo".to_owned())];
    world.expect_condition(types::SECRETS_RESOLVED, ConditionStatus::False, "SecretMissing");
    world.expect_condition(types::READY, ConditionStatus::False, "SecretMissing");
    world.expect_condition(types::SCHEMA_MIGRATED, ConditionStatus::False, "Blocked");
}

#[test]
fn a_name_conflict_names_the_object() {
    let mut world = World::healthy();
    world.applied.name_conflicts = vec![(Kind::ConfigMap, "demo-settings".to_owned())];
    let message = world.expect_condition(types::READY, ConditionStatus::False, "NameConflict");
    assert!(message.contains("ConfigMap demo-settings"), "{message}");
}

#[test]
fn an_unreachable_redis_does_not_affect_readiness() {
    let mut world = World::healthy();
    world.report().revocation = Some(Revocation { mode: "postgres".to_owned(), message: "down".to_owned() });
    world.expect_condition(types::REVOCATION_STORE_READY, ConditionStatus::False, "PostgresFallback");
    world.expect_condition(types::READY, ConditionStatus::True, "Available");
}

#[test]
fn mail_is_disabled_or_its_state_is_reported() {
    World::healthy().expect_condition(types::MAIL_READY, ConditionStatus::False, "Disabled");
    let mut world = World::healthy();
    world.service = validated(&auth_service(full_spec()), full());
    world.expect_condition(types::MAIL_READY, ConditionStatus::True, "Reachable");
}

#[test]
fn a_failed_migration_names_the_logs_to_check() {
    let mut world = World::healthy();
    world.applied.schema = Schema::Failed("BackoffLimitExceeded".to_owned());
    let message = world.expect_condition(types::SCHEMA_MIGRATED, ConditionStatus::False, "MigrationFailed");
    assert!(message.contains("kubectl logs"), "{message}");
    world.expect_condition(types::READY, ConditionStatus::False, "MigrationFailed");
}

#[test]
fn a_failed_login_probe_of_any_replica_is_reported() {
    let mut world = World::healthy();
    world.service = validated(&auth_service(json!({"loginProbe": {"enabled": true}})), embedded());
    let probed = |pod: &str, ready: bool| {
        let login = Dependency { ready, message: "status 500.".to_owned(), reason: None };
        let mut report = report();
        report.dependencies.insert("login".to_owned(), login);
        Answer { pod: pod.to_owned(), report: Some(report), fault: None }
    };
    world.external_state.answers = vec![probed("demo-1", true), probed("demo-2", true)];
    world.expect_condition(types::LOGIN_WORKS, ConditionStatus::True, "Works");
    world.expect_condition(types::READY, ConditionStatus::True, "Available");
    world.external_state.answers[1] = probed("demo-2", false);
    let message = world.expect_condition(types::LOGIN_WORKS, ConditionStatus::False, "LoginFails");
    assert!(message.starts_with("The login probe of pod demo-2 failed, status 500: "), "{message}");
    assert_eq!(world.expect_condition(types::READY, ConditionStatus::False, "LoginFails"), message);
    assert_eq!(world.decide().1, Verdict::Blocked);
}

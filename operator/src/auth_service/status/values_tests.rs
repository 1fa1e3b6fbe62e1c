//! The values of the status beside its conditions.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use super::tests::{World, deployment, report};
use super::*;

#[test]
fn the_status_counts_the_replicas_of_the_deployment() {
    let deployment = deployment(3, 2);
    assert_eq!(observed(Some(&deployment), |status| status.replicas), 3);
    assert_eq!(observed(Some(&deployment), |status| status.ready_replicas), 2);
    assert_eq!(observed(Some(&Deployment::default()), |status| status.replicas), 0);
    assert_eq!(observed(None, |status| status.replicas), 0);
}

#[test]
fn the_schema_range_is_that_of_the_newest_server() {
    let reported = |required: Option<i64>, oldest: Option<i64>| Report {
        required_schema_version: required,
        oldest_tolerated_server: oldest,
        ..report()
    };
    let range = |reports: &[Report]| schema_range(reports.iter());
    assert_eq!(range(&[]), None);
    assert_eq!(range(&[reported(Some(1), None), reported(None, Some(1))]), None);
    let newest = SchemaRange { required: 7, oldest_server: 3 };
    assert_eq!(range(&[reported(Some(6), Some(2)), reported(Some(7), Some(3))]), Some(newest));
    assert_eq!(
        range(&[reported(Some(7), Some(3)), reported(Some(6), Some(2)), reported(None, None)]),
        Some(newest)
    );
}

#[test]
fn the_version_is_what_the_replicas_agree_on() {
    let mut world = World::healthy();
    let running: Deployment = serde_json::from_value(json!({
        "metadata": {},
        "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "server", "image": "a/b:9"}]}}},
    }))
    .unwrap();
    assert_eq!(version(&world.external_state.answers, Some(&running)).as_deref(), Some("1.2.3"));
    world.external_state.answers[0].report = None;
    assert_eq!(version(&world.external_state.answers, Some(&running)).as_deref(), Some("9"));
    assert_eq!(version(&world.external_state.answers, None), None);
}

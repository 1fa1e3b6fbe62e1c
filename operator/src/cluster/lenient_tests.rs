use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Beyond the range of the time library; the API server accepts it.
const TOO_LATE: &str = "9999-12-31T23:59:59Z";

#[test]
fn unreadable_metadata_hides_no_object() {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "n", "namespace": "a", "uid": "u", "resourceVersion": "7", "labels": {"k": "v"},
            "deletionTimestamp": TOO_LATE,
            "managedFields": [{"manager": "m", "time": TOO_LATE}],
        },
        "data": {"key": "dmFsdWU="},
    });
    let any: AnyObject = serde_json::from_value(object.clone()).unwrap();
    assert_eq!((any.name_any().as_str(), any.0.metadata.deletion_timestamp.is_some()), ("n", false));
    assert_eq!((&any.labels()["k"], &any.0.data["data"]["key"]), (&"v".to_owned(), &json!("dmFsdWU=")));
    let identity: Identity<Secret> = serde_json::from_value(object).unwrap();
    assert_eq!((identity.name_any().as_str(), identity.resource_version().as_deref()), ("n", Some("7")));
    assert!(identity.labels().is_empty());
}

#[test]
fn the_unreadable_part_is_named_without_its_value() {
    let value = json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": {"hunter2": 1}}],
        "startTime": "hunter2",
    });
    let pod = salvage::<k8s_openapi::api::core::v1::PodStatus>("status", value.clone());
    assert_eq!(pod.value.phase.as_deref(), Some("Running"));
    assert_eq!(pod.value.conditions.unwrap().len(), 2);
    let problem = pod.problem.unwrap();
    assert!(problem.contains("status.conditions[1].status") && !problem.contains("hunter2"), "{problem}");
    let problem = problem_of::<Pod>(&json!({"metadata": {}, "status": value})).unwrap();
    assert!(problem.starts_with("`status.conditions[1].status`"), "{problem}");
}

proptest! {
    #[test]
    fn a_problem_is_short_and_repeats_no_value(value in ".{40,2000}", key in ".{0,2000}") {
        let text = describe("spec", &[Step::Key(key)], &format!("invalid type: string {value:?}, expected i32"));
        prop_assert!(text.chars().count() < 1024 && text.ends_with("(expected i32)"));
        let text = describe("spec", &[], &format!("failed to parse {value:?}, expected {value}"));
        prop_assert_eq!(&*text, "`spec`");
    }
}

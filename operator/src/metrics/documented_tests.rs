//! The metrics of the operator, compared with docs/reference/metrics.md in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use latchkey_crds::AuthService;
use serde_json::json;

use crate::responsibility::Scope;

use super::{Metrics, auth_services};
use crate::cluster::instrumentation::Instrumentation;
use crate::cluster::kinds::Kind;

/// The label names of each metric in the page; a label without a list of values has none here.
fn documented() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let page = include_str!("../../../docs/reference/metrics.md");
    let (_, page) = page.split_once("## Metrics of the operator").unwrap();
    let mut metrics = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').collect();
        let mut labels = BTreeMap::new();
        let mut parts = cells[2].split('`').skip(1);
        while let (Some(label), Some(rest)) = (parts.next(), parts.next()) {
            let values = rest.trim().strip_prefix(": ").unwrap_or_default().trim_end_matches(';').split(", ");
            let values = values.filter(|value| !value.is_empty()).map(str::to_owned);
            labels.insert(label.to_owned(), values.collect());
        }
        for name in cells[1].split('`').skip(1).step_by(2) {
            assert!(metrics.insert(name.to_owned(), labels.clone()).is_none(), "{name} is listed twice");
        }
    }
    metrics
}

#[test]
fn the_documentation_lists_every_metric_with_its_labels() {
    let metrics = Metrics::new().unwrap();
    metrics.reconciled(true, 0.1);
    metrics.applied(Kind::Secret);
    metrics.deleted(Kind::Secret);
    metrics.watch_failed("Secret");
    metrics.set_unreadable("Secret", 1);
    for (method, watches) in [
        ("GET", false),
        ("GET", true),
        ("POST", false),
        ("PUT", false),
        ("PATCH", false),
        ("DELETE", false),
        ("HEAD", false),
    ] {
        metrics.requested(method, "/api/v1/secrets", watches);
    }
    let key = |phase: &str| json!({"kid": phase, "phase": phase, "since": "2026-01-01T00:00:00Z"});
    let keys = ["published", "active", "retiring"].map(key);
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "Available", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let auth_service: AuthService = serde_json::from_value(json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService",
        "metadata": {"name": "auth", "namespace": "team-a"},
        "spec": {},
        "status": {
            "conditions": [ready],
            "signingKeys": keys,
        },
    }))
    .unwrap();
    let of_auth_services: String = auth_services::parts(
        vec![Arc::new(auth_service.into())],
        &Scope { class: None, selector: kube::core::Selector::default(), identity: String::new() },
    )
    .collect();
    let text = metrics.render().unwrap() + &of_auth_services;
    let mut exported = BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, pairs) = series.split_once('{').unwrap_or((series, ""));
        let ends = ["_bucket", "_sum", "_count"];
        let name = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let labels = exported.entry(name.to_owned()).or_default();
        for pair in pairs.trim_end_matches('}').split("\",") {
            if let Some((label, value)) = pair.split_once("=\"").filter(|(label, _)| *label != "le") {
                let value = value.trim_end_matches('"').to_owned();
                labels.entry(label.to_owned()).or_insert_with(BTreeSet::new).insert(value);
            }
        }
    }
    let documented = documented();
    assert_eq!(documented.keys().collect::<Vec<_>>(), exported.keys().collect::<Vec<_>>());
    for (name, labels) in exported {
        let listed = &documented[&name];
        assert_eq!(listed.keys().collect::<Vec<_>>(), labels.keys().collect::<Vec<_>>(), "{name}");
        for (label, values) in labels {
            assert!(listed[&label].is_empty() || listed[&label] == values, "{name}, {label}: {values:?}");
        }
    }
}

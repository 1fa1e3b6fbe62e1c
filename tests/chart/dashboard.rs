//! The rendered dashboard. tests/e2e/monitoring.rs runs its queries in a real Prometheus.

use std::collections::BTreeSet;

use latchkey_tests::chart::{of_kind, render};
use latchkey_tests::monitoring::{dashboard, dashboard_queries};
use serde_json::Value;

#[test]
fn the_config_map_contains_the_complete_dashboard() {
    let objects = render("latchkey", "latchkey-system", &["metrics.dashboard.enabled=true"]);
    let map = of_kind(&objects, "ConfigMap")[0];
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let text = map["data"]["latchkey.json"].as_str().expect("the dashboard");
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), dashboard());
}

#[test]
fn every_panel_is_valid() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<i64> = panels.iter().filter_map(|panel| panel["id"].as_i64()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have the same id");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        let place = &panel["gridPos"];
        let end = place["x"].as_i64().unwrap_or(99) + place["w"].as_i64().unwrap_or(99);
        assert!(end <= 24, "{} is wider than the page", panel["title"]);
    }
    assert!(dashboard_queries().len() > 25);
}

//! The dashboard of the chart, and the metrics in PromQL expressions.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::{chart, control_plane};

/// A query of the dashboard.
#[derive(Debug)]
pub struct Query {
    /// The panel's title.
    pub panel: String,
    /// PromQL. The selecting variables of Grafana are replaced by `.*`, and the interval by one minute.
    pub expression: String,
}

/// The committed dashboard.
///
/// # Panics
/// When it is not JSON.
pub fn dashboard() -> Value {
    let text = fs::read_to_string(chart::folder().join("files/dashboard.json")).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

/// All queries of the dashboard.
///
/// # Panics
/// When a panel is incomplete.
pub fn dashboard_queries() -> Vec<Query> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut queries = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().expect("targets") {
            let expression = target["expr"].as_str().expect("an expression");
            let expression = expression
                .replace("$namespace", ".*")
                .replace("$auth_service", ".*")
                .replace("$__rate_interval", "1m");
            assert!(!expression.contains('$'), "{title}: an unknown variable in {expression}");
            queries.push(Query { panel: title.to_owned(), expression });
        }
    }
    queries
}

/// The names of Latchkey's metrics in an expression, without the suffix of a histogram's buckets.
pub fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("latchkey_"))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned())
        .collect()
}

/// The definitions that Prometheus Operator needs to run a Prometheus, as YAML files.
pub fn prometheus_crds() -> Vec<PathBuf> {
    let service_monitor = control_plane::service_monitor_crd();
    ["prometheuses", "servicemonitors", "podmonitors", "probes", "prometheusrules"]
        .into_iter()
        .map(|plural| service_monitor.with_file_name(format!("monitoring.coreos.com_{plural}.yaml")))
        .collect()
}

//! A real Prometheus scrapes a running server and a running operator: every query of the dashboard returns data,
//! every alert can be evaluated, and every metric in an alert exists.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use latchkey_tests::answer::Answered;
use latchkey_tests::app::{App, SUPERUSER, path};
use latchkey_tests::chart;
use latchkey_tests::monitoring::{dashboard_queries, metrics_in};
use latchkey_tests::process::{OnParentDeath, Process, free_port, temporary_folder};
use latchkey_tests::smtp::Smtp;
use latchkey_tests::{programs, wait};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

#[tokio::test]
async fn every_query_of_the_dashboard_and_every_alert_has_data() {
    let fixture = Fixture::new("dashboard").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let app = App::setup().mail(Smtp::Plain).set("RATE_LIMIT_PER_ACCOUNT", "2").start().await;
    cause_every_kind_of_series(&app).await;

    let folder = temporary_folder("prometheus");
    let rules = chart::render("latchkey", "latchkey-system", &["metrics.prometheusRule.enabled=true"]);
    let rules = chart::of_kind(&rules, "PrometheusRule")[0]["spec"].clone();
    // The labels that the Prometheus Operator sets for targets of ServiceMonitors.
    let server = app.server().management.trim_start_matches("http://");
    let of_server = json!({"namespace": fixture.namespace, "auth_service": NAME, "pod": "auth-0"});
    let of_operator = json!({"namespace": "latchkey-system", "pod": "latchkey-operator-0"});
    let configuration = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.json"],
        "scrape_configs": [
            {"job_name": "server", "static_configs": [{"targets": [server], "labels": of_server}]},
            {
                "job_name": "operator",
                "honor_labels": true,
                "static_configs": [{"targets": [operator.address()], "labels": of_operator}],
            },
        ],
    });
    fs::write(folder.path().join("rules.json"), rules.to_string()).expect("written");
    fs::write(folder.path().join("prometheus.json"), configuration.to_string()).expect("written");
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(programs::debian("prometheus"));
    command.current_dir(folder.path());
    command.args(["--config.file=prometheus.json", "--storage.tsdb.path=data"]);
    let _process =
        Process::start(command.arg(format!("--web.listen-address={address}")), OnParentDeath::Kill);

    let prometheus = Prometheus(format!("http://{address}/api/v1"));
    let alerts = wait::until("every alert to be evaluated", async || prometheus.alerts().await).await;
    assert_eq!(alerts.len(), expressions(&rules).len());
    for query in dashboard_queries() {
        let what = format!("data in the panel {:?}: {}", query.panel, query.expression);
        wait::until(&what, async || prometheus.query(&query.expression).await).await;
    }
    for metric in expressions(&rules).iter().flat_map(|expression| metrics_in(expression)) {
        // A histogram has a series for each bucket.
        let either = format!("{metric} or {metric}_bucket");
        wait::until(&format!("a series of {metric}"), async || prometheus.query(&either).await).await;
    }
}

/// Counters with labels have no series before the first increment.
async fn cause_every_kind_of_series(app: &App) {
    app.superuser().await;
    app.get(path::JWKS).answer().await.ok(200);
    let recovery = format!("{}/root@example.test", path::RECOVERY);
    app.post(&recovery).answer().await.ok(200);
    for _ in 0..4 {
        let wrong = [("username", SUPERUSER), ("password", "a wrong password")];
        app.post(path::LOGIN).form(&wrong).answer().await;
    }
    wait::until("a limited login and a sent message", async || {
        let metrics = app.server().metrics().await;
        let complete =
            metrics.contains("latchkey_rate_limited_total{") && metrics.contains("latchkey_mail_total{");
        wait::check(complete, metrics)
    })
    .await;
}

fn expressions(rules: &Value) -> BTreeSet<String> {
    let groups = rules["groups"].as_array().expect("groups");
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    rules.map(|rule| rule["expr"].as_str().expect("an expression").to_owned()).collect()
}

/// The HTTP API of Prometheus.
struct Prometheus(String);

impl Prometheus {
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let request = reqwest::Client::new().get(format!("{}/{path}", self.0)).query(query);
        let request = request.timeout(Duration::from_secs(5));
        let answer = request.send().await.map_err(|e| e.to_string())?;
        let answer: Value = answer.json().await.map_err(|e| e.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer.to_string()) }
    }

    /// The series of an expression; fails if there are none.
    async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let data = self.get("query", &[("query", expression)]).await?;
        let series = data["result"].as_array().cloned().unwrap_or_default();
        if series.is_empty() { Err("no series".to_owned()) } else { Ok(series) }
    }

    /// The alerts, after each was evaluated without an error.
    async fn alerts(&self) -> Result<Vec<Value>, String> {
        let data = self.get("rules", &[("type", "alert")]).await?;
        let groups = data["groups"].as_array().ok_or("no groups")?;
        let alerts: Vec<Value> =
            groups.iter().filter_map(|group| group["rules"].as_array()).flatten().cloned().collect();
        let bad: Vec<&Value> = alerts.iter().filter(|alert| alert["health"] != "ok").collect();
        if bad.is_empty() { Ok(alerts) } else { Err(format!("{bad:?}")) }
    }
}

//! A real Prometheus scrapes the operator and the servers, loads the alerts, and returns data for every query of the
//! dashboard.

use std::collections::BTreeSet;

use latchkey_tests::chart;
use latchkey_tests::monitoring::{dashboard_queries, metrics_in};
use serde_json::{Value, json};

use crate::client::Client;
use crate::namespace::{NAME, Namespace};
use crate::prometheus::{self, Prometheus};
use crate::release::SYSTEM;
use crate::stores;
use crate::waiting::wait_for;

#[tokio::test]
async fn prometheus_scrapes_every_target_and_every_panel_has_data() {
    let namespace = Namespace::new("monitoring").await;
    let image = namespace.cluster.load_image("prometheus");
    prometheus::start_operator(&namespace, &image).await;
    let stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    let mut spec = stores::spec(2);
    spec["rateLimits"] = json!({"perAccount": 2});
    namespace.bring_up("external stores, limits, 2 replicas", spec).await;
    let prometheus = Prometheus::start(&namespace, &image).await;
    client.wait_until_routed().await;
    cause_every_kind_of_series(&client, &stores.admin_password).await;

    wait_for("every target to be up", async || every_target_is_up(&prometheus, &namespace).await).await;
    wait_for("every alert to be evaluated", async || every_alert_is_evaluated(&prometheus).await).await;
    for query in dashboard_queries() {
        wait_for(&format!("data in the panel {:?}: {}", query.panel, query.expression), async || {
            prometheus.query(&query.expression).await
        })
        .await;
    }
    for metric in alert_expressions().iter().flat_map(|expression| metrics_in(expression)) {
        // A histogram has a series for each bucket.
        let either = format!("{metric} or {metric}_bucket");
        wait_for(&format!("a series of {metric}"), async || prometheus.query(&either).await).await;
    }
    // The labels by which the dashboard and the alerts distinguish AuthServices.
    let of_this =
        format!("latchkey_logins_total{{namespace=\"{}\",auth_service=\"{NAME}\"}}", namespace.name);
    assert!(prometheus.query(&of_this).await.is_ok(), "{of_this}");
    let ready = format!(
        "latchkey_operator_auth_service_condition{{namespace=\"{}\",name=\"{NAME}\",type=\"Ready\",status=\"true\"}} == 1",
        namespace.name
    );
    wait_for("the metric of the condition Ready", async || prometheus.query(&ready).await).await;
}

/// Counters with labels have no series before the first increment.
async fn cause_every_kind_of_series(client: &Client<'_>, admin_password: &str) {
    let john = client.create_user(admin_password, "john");
    client.ask_for_recovery(&john.email);
    client.mail_to(&john.email, 1).await;
    let statuses: Vec<u16> = (0..4).map(|_| client.post_login("john", "a wrong password").status).collect();
    assert!(statuses.ends_with(&[429]), "{statuses:?}");
}

async fn every_target_is_up(prometheus: &Prometheus<'_>, namespace: &Namespace) -> Result<(), String> {
    let data = prometheus.get("targets?state=active").await?;
    let targets = data["activeTargets"].as_array().ok_or("no targets")?;
    let up = |namespace: &str| {
        let ours = targets.iter().filter(|target| target["labels"]["namespace"] == namespace);
        ours.filter(|target| target["health"] == "up").count()
    };
    if up(SYSTEM) == 1 && up(&namespace.name) == 2 { Ok(()) } else { Err(data.to_string()) }
}

async fn every_alert_is_evaluated(prometheus: &Prometheus<'_>) -> Result<(), String> {
    let data = prometheus.get("rules?type=alert").await?;
    let groups = data["groups"].as_array().ok_or("no groups")?;
    let rules: Vec<&Value> = groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
    let bad: Vec<&&Value> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
    let expected = alert_expressions().len();
    if rules.len() == expected && bad.is_empty() {
        Ok(())
    } else {
        Err(format!("{} of {expected} alerts; not evaluated: {bad:?}", rules.len()))
    }
}

/// The expressions of the chart's alerts.
fn alert_expressions() -> BTreeSet<String> {
    let objects = chart::render("latchkey", SYSTEM, &["metrics.prometheusRule.enabled=true"]);
    let groups =
        chart::of_kind(&objects, "PrometheusRule")[0]["spec"]["groups"].as_array().expect("groups").clone();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    rules.map(|rule| rule["expr"].as_str().expect("an expression").to_owned()).collect()
}

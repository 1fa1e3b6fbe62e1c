//! Several operators: one acts.

use std::time::{Duration, Instant};

use latchkey_tests::operator::Operator;
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, NAME};

async fn leads(operator: &Operator) -> bool {
    operator.metric("latchkey_operator_leader", &[]).await > 0.5
}

async fn wait_until_leading(operator: &Operator) {
    wait::until("it to lead", async || leads(operator).await.then_some(())).await;
}

async fn applied(operator: &Operator) -> f64 {
    operator.metric("latchkey_operator_applied_objects_total", &[]).await
}

#[tokio::test]
async fn one_acts_and_another_takes_over() {
    let fixture = Fixture::new("leader").await;
    let _kubelet = fixture.start_kubelet();
    let mut first = fixture.installation.start("operator-0");
    first.wait_until_ready().await;
    wait_until_leading(&first).await;
    let mut second = fixture.installation.start("operator-1");
    second.wait_until_ready().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert!(!leads(&second).await, "two lead");
    assert!(applied(&first).await > 0.0);
    assert!(applied(&second).await < 0.5, "the one that does not lead acted");

    // Killed: its lease has to run out first.
    first.kill();
    wait_until_leading(&second).await;
    fixture.merge(json!({"spec": {"replicas": 2}})).await;
    fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(2)).await;

    // Stopped in good order it gives the lease up.
    let mut third = fixture.installation.start("operator-2");
    third.wait_until_ready().await;
    second.terminate();
    let stopped = Instant::now();
    wait_until_leading(&third).await;
    assert!(stopped.elapsed() < Duration::from_secs(8), "it waited for the lease to run out");
    fixture.merge(json!({"spec": {"replicas": 3}})).await;
    fixture.wait_for_value("Deployment", NAME, "/spec/replicas", &json!(3)).await;
}

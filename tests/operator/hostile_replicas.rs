//! Replicas whose responses on the management port try to exhaust the operator's memory: the server image is chosen
//! by the user of a namespace, and the operator serves all namespaces.

use latchkey_tests::wait;
use serde_json::{Map, Value, json};

use crate::fixture::Fixture;

const REPLICAS: usize = 60;
/// The size of each response.
const BYTES: usize = 250_000;
/// The memory limit for these replicas; without bounds their responses took 90 MB.
const MOST_GROWTH: u64 = 24 * 1024 * 1024;

fn many(entry: impl Fn(usize) -> Value) -> Vec<Value> {
    let length = entry(0).to_string().len() + 1;
    (0..BYTES / length).map(entry).collect()
}

fn answers() -> Vec<(&'static str, Value)> {
    let names: Map<String, Value> =
        (0..BYTES / 24).map(|number| (format!("{number:05}"), json!({"ready": true}))).collect();
    let long = "x".repeat(BYTES);
    let nested = (0..100).fold(json!(many(|_| json!([]))), |inner, _| json!([inner]));
    vec![
        ("keys", json!({"signing_keys": many(|_| json!({"kid": ""}))})),
        ("dependencies", json!({"dependencies": names})),
        ("version", json!({ "version": long })),
        ("nesting", json!({ "signing_keys": nested })),
        ("message", json!({"dependencies": {"database": {"ready": false, "message": long}}})),
    ]
}

#[tokio::test]
async fn large_responses_of_replicas_take_little_memory_and_are_reported() {
    let fixture = Fixture::new("hostile-replicas").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.servers.answer(json!({}));
    fixture.apply(json!({"replicas": REPLICAS, "loginProbe": {"enabled": false}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let before = operator.memory();
    for (_, answer) in answers() {
        let asked = fixture.servers.requests();
        fixture.servers.answer(answer);
        wait::until("two requests to each replica", async || {
            fixture.touch().await;
            let requests = fixture.servers.requests();
            wait::check(requests >= asked + 2 * REPLICAS, requests - asked)
        })
        .await;
    }
    let growth = operator.memory().peak.saturating_sub(before.resident);
    assert!(growth < MOST_GROWTH, "the operator's memory grew by {growth} bytes");
    for (name, answer) in answers() {
        fixture.servers.answer(answer);
        fixture.touch().await;
        let condition = fixture.wait_for_reason("DatabaseReachable", "Unknown", "NoReplicaReports").await;
        assert!(
            condition.message.contains("invalid response to GET /status"),
            "{name}: {}",
            condition.message
        );
        assert!(condition.message.len() <= 1024, "{name}");
    }
    let log = operator.log();
    assert!(log.lines().all(|line| line.len() <= 8 * 1024), "a line is too long");
}

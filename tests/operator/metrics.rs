//! The metrics of each AuthService.

use kube::api::DeleteParams;
use latchkey_crds::AuthService;
use latchkey_tests::kubelet::{SERVERS, set_ready};
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, NAME};

const CONDITION: &str = "latchkey_operator_auth_service_condition";
const ON_HOLD: &str = "latchkey_operator_auth_service_on_hold";
const ROTATION_PERIOD: &str = "latchkey_operator_signing_key_rotation_period_seconds";
const KEY_SINCE: &str = "latchkey_operator_signing_key_since_timestamp_seconds";

#[tokio::test]
async fn an_auth_service_has_metrics_of_its_conditions_and_keys_until_it_is_deleted() {
    let fixture = Fixture::new("metrics").await;
    let _kubelet = fixture.start_kubelet();
    let operator = fixture.start_operator().await;
    fixture.apply(json!({"tokens": {"keyRotation": {"interval": "100h"}}})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let own = [format!("namespace=\"{}\"", fixture.namespace), format!("name=\"{NAME}\"")];
    let shows = async |metric: &str, labels: &[&str], expected: f64| {
        let labels: Vec<&str> = own.iter().map(String::as_str).chain(labels.iter().copied()).collect();
        wait::until(&format!("{metric} {labels:?} to be {expected}"), async || {
            let value = operator.metric(metric, &labels).await;
            wait::check(value.to_bits() == expected.to_bits(), value)
        })
        .await;
    };
    shows(CONDITION, &["type=\"Ready\"", "status=\"true\""], 1.0).await;
    shows(CONDITION, &["type=\"Ready\"", "status=\"false\""], 0.0).await;
    let since = fixture.auth_service().await.status.expect("a status").signing_keys[0].since.0.as_second();
    #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
    shows(KEY_SINCE, &["phase=\"active\""], since as f64).await;

    shows(ROTATION_PERIOD, &[], 360_000.0).await;

    set_ready(fixture.client.clone(), &fixture.namespace, SERVERS, false).await;
    shows(CONDITION, &["type=\"Ready\"", "status=\"true\""], 0.0).await;
    shows(CONDITION, &["type=\"Ready\"", "status=\"false\""], 1.0).await;

    shows(ON_HOLD, &[], 0.0).await;
    fixture.merge(json!({"spec": {"replicas": 0}})).await;
    shows(ON_HOLD, &["by=\"scale\""], 1.0).await;
    fixture.merge(json!({"spec": {"replicas": 1, "paused": true}})).await;
    shows(ON_HOLD, &["by=\"pause\""], 1.0).await;
    shows(ON_HOLD, &["by=\"scale\""], 0.0).await;

    fixture.api::<AuthService>().delete(NAME, &DeleteParams::default()).await.expect("it is deleted");
    wait::until("the end of its series", async || {
        let text = operator.get("/metrics").await.expect("metrics");
        let left: Vec<_> = text
            .lines()
            .filter(|line| own.iter().all(|label| line.contains(label.as_str())))
            .map(str::to_owned)
            .collect();
        wait::check(left.is_empty(), left)
    })
    .await;
}

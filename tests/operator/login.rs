//! The login probe.

use latchkey_tests::status_port::healthy;
use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_failed_login_probe_makes_the_auth_service_not_ready() {
    let fixture = Fixture::new("login").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.servers.answer_healthy(&[]);
    fixture.apply(json!({})).await;
    fixture.wait_for_reason("LoginWorks", "Unknown", "NotProbed").await;
    // A probe that has not run yet is not a problem.
    fixture.wait_for_condition("Ready", "True").await;

    let mut answer = healthy(&[]);
    answer["dependencies"]["login"] = json!({"ready": false, "message": "logging in failed: no"});
    fixture.servers.answer(answer.clone());
    fixture.touch().await;
    let condition = fixture.wait_for_reason("LoginWorks", "False", "LoginFails").await;
    assert!(condition.message.contains("logging in failed: no"), "{}", condition.message);
    fixture.wait_for_reason("Ready", "False", "LoginFails").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;

    answer["dependencies"]["login"] = json!({"ready": true, "message": "works"});
    fixture.servers.answer(answer.clone());
    fixture.touch().await;
    fixture.wait_for_reason("LoginWorks", "True", "Works").await;
    fixture.wait_for_reason("Ready", "True", "Available").await;

    // If the probe is disabled, no condition depends on it.
    answer["dependencies"]["login"] = json!({"ready": false, "message": "logging in failed: no"});
    fixture.servers.answer(answer);
    fixture.apply(json!({"loginProbe": {"enabled": false}})).await;
    fixture.wait_for_reason("LoginWorks", "Unknown", "Disabled").await;
    fixture.wait_for_reason("Ready", "True", "Available").await;
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/LOGIN_PROBE_ENABLED", &json!("false")).await;
}

//! The password of the bootstrap administrator, and `spec.passwordPolicy`.

use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn the_password_policy_applies_until_a_server_has_run() {
    let fixture = Fixture::new("bootstrap-admin").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let admin = [("username", "root"), ("email", "root@example.com"), ("password", "fifteen letters")];
    fixture.apply_secret("admin", &admin).await;
    let spec = |min_length: u8| {
        json!({
            "bootstrapAdmin": {"secretRef": {"name": "admin"}},
            "passwordPolicy": {"minLength": min_length},
        })
    };
    fixture.apply(spec(16)).await;
    fixture.wait_for_reason("SecretsResolved", "False", "SecretInvalid").await;
    fixture.wait_for_reason("Ready", "False", "SecretInvalid").await;

    fixture.merge(json!({"spec": spec(15)})).await;
    fixture.wait_for_condition("Ready", "True").await;

    // The account may exist already, and its password does not change with the policy.
    fixture.merge(json!({"spec": spec(20)})).await;
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/PASSWORD_MIN_LENGTH", &json!("20")).await;
    fixture.wait_for_condition("SecretsResolved", "True").await;
    fixture.wait_for_condition("Ready", "True").await;
}

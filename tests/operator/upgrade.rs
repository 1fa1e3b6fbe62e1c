//! Upgrades of the operator, and objects that an older version left.

use std::collections::BTreeMap;

use latchkey_crds::AuthServiceSpec;
use latchkey_tests::control_plane::apply;
use serde_json::{Value, json};

use crate::fixture::Fixture;

/// An AuthService as written by the first release, with all fields of that time.
const FIRST_RELEASE: &str = include_str!("fixtures/auth_service_0_1_0.json");

async fn versions(fixture: &Fixture) -> BTreeMap<String, Option<String>> {
    let owned = fixture.owned().await;
    owned.into_iter().map(|(name, object)| (name, object.metadata.resource_version)).collect()
}

#[tokio::test]
async fn an_operator_with_other_defaults_changes_only_objects_that_use_them() {
    let fixture = Fixture::new("takeover").await;
    let _kubelet = fixture.start_kubelet();
    let mut operator = fixture.start_operator().await;
    // An AuthService with explicit images does not depend on the operator's defaults.
    fixture.apply_secret("database", &[("url", "postgres://auth:x@db.example.com/auth")]).await;
    fixture.apply_secret("redis", &[("url", "redis://cache.example.com")]).await;
    fixture
        .apply(json!({
            "image": {"repository": "example.com/server", "tag": "1"},
            "database": {"urlSecretRef": {"name": "database"}},
            "redis": {"urlSecretRef": {"name": "redis"}},
        }))
        .await;
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    operator.terminate();
    fixture.wait_for_audit_log().await;
    let (before, writes) = (versions(&fixture).await, fixture.writes().len());

    let newer = [
        "--server-image=example.com/next:2",
        "--postgres-image=example.com/postgres:99",
        "--valkey-image=example.com/valkey:99",
    ];
    let operator = fixture.start_operator_with(&newer).await;
    for before in [0.0, 1.0] {
        // One by one, because changes within the debounce time cause one reconcile.
        fixture.touch().await;
        operator.wait_for_reconciles(before).await;
    }
    assert_eq!(versions(&fixture).await, before);
    assert_eq!(fixture.writes().len(), writes, "{:?}", &fixture.writes()[writes..]);
}

#[tokio::test]
async fn an_auth_service_of_the_first_release_is_readable() {
    let fixture = Fixture::new("first").await;
    let _kubelet = fixture.start_kubelet();
    let mut object: Value = serde_json::from_str(FIRST_RELEASE).expect("JSON");
    object["metadata"]["namespace"] = json!(fixture.namespace);
    apply(&fixture.client, &object).await;
    fixture.merge_status(object["status"].clone()).await;
    for name in ["database", "redis", "smtp", "admin", "gateway"] {
        let data = [
            (
                "url",
                if name == "redis" {
                    "redis://cache.example.com"
                } else {
                    "postgres://a:b@db.example.com/auth"
                },
            ),
            ("username", "root"),
            ("email", "root@example.com"),
            ("password", "long enough to be a good one"),
            ("secret", "long enough that it cannot be guessed"),
        ];
        fixture.apply_secret(name, &data).await;
    }
    let _operator = fixture.start_operator().await;
    // The keys in its status prove that keys existed.
    fixture.wait_for_reason("KeysReady", "False", "KeyMaterialLost").await;
    fixture.merge_status(json!({"signingKeys": null})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let spec: AuthServiceSpec = serde_json::from_value(object["spec"].take()).expect("it reads");
    assert_eq!(fixture.auth_service().await.spec, spec);
}

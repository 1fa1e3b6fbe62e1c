//! Requests that hang only delay their own AuthService.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use kube::api::DeleteParams;
use latchkey_crds::AuthService;
use latchkey_tests::blackhole::Blackhole;
use latchkey_tests::control_plane::apply;
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, condition};

/// More than the number of reconcile slots.
const HANGING: usize = 40;
/// The webhook timeout of the API server.
const HANGS_FOR: Duration = Duration::from_secs(20);

/// A webhook that never responds, for the ConfigMaps of all AuthServices of the namespace named `hanging-` and a
/// number. Returns its name.
pub async fn hang(fixture: &Fixture, webhook: &Blackhole) -> String {
    let name = format!("latchkey-{}", fixture.namespace);
    let names: Vec<String> = (0..HANGING).map(|number| format!("hanging-{number}")).collect();
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": "hangs.latchkey.dev",
            "clientConfig": {"url": format!("https://{}/", webhook.address())},
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"], "scope": "Namespaced",
            }],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": fixture.namespace}},
            "objectSelector": {"matchExpressions": [
                {"key": "app.kubernetes.io/instance", "operator": "In", "values": names},
            ]},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": HANGS_FOR.as_secs(),
            "admissionReviewVersions": ["v1"],
        }],
    });
    apply(&fixture.client, &configuration).await;
    name
}

#[tokio::test]
async fn a_hanging_webhook_delays_no_other_auth_service_and_is_named() {
    let fixture = Fixture::new("hanging").await;
    let _kubelet = fixture.start_kubelet();
    let webhook = Blackhole::listen("127.0.0.1:0").await;
    let name = hang(&fixture, &webhook).await;
    let _operator = fixture.start_operator().await;
    stream::iter(0..HANGING)
        .for_each_concurrent(8, async |number| {
            let metadata = json!({"name": format!("hanging-{number}"), "namespace": fixture.namespace});
            let object = json!({
                "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": metadata, "spec": {},
            });
            apply(&fixture.client, &object).await;
        })
        .await;
    // As many reconciles as there are slots hang, once the API server has loaded the webhook.
    wait::until("16 requests to the webhook", async || {
        wait::check(webhook.accepted() >= 16, webhook.accepted())
    })
    .await;
    let begun = Instant::now();
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert!(begun.elapsed() < HANGS_FOR, "it was delayed for {:?}", begun.elapsed());

    let services = fixture.api::<AuthService>();
    let ready = async || {
        let object = services.get("hanging-0").await.expect("the AuthService");
        condition(&object, "Ready").cloned().ok_or("no condition".to_owned())
    };
    let message = wait::until("the refusal in the condition", async || {
        let ready = ready().await?;
        if ready.reason == "ApplyRefused" { Ok(ready.message) } else { Err(ready.reason) }
    })
    .await;
    assert!(message.contains("hangs.latchkey.dev"), "{message}");

    // It recovers when the webhook does.
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(fixture.client.clone());
    webhooks.delete(&name, &DeleteParams::default()).await.expect("it is deleted");
    wait::until("another reason of the condition", async || {
        let ready = ready().await?;
        wait::check(ready.reason != "ApplyRefused", ready.reason)
    })
    .await;
}

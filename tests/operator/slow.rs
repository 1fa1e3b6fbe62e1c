//! Servers that do not respond only delay their own AuthService.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use latchkey_crds::AuthService;
use latchkey_tests::blackhole::Blackhole;
use latchkey_tests::control_plane::apply;
use latchkey_tests::kubelet::{running, set_status};
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, NAME, condition};
use crate::waiting::wait_for;

/// Far more than the number of reconcile slots.
const SLOW: usize = 96;
/// A reconcile waits two seconds for its servers: sixteen at a time, the last one would start after twelve.
const AT_MOST: Duration = Duration::from_secs(8);

/// An address that accepts connections and never responds.
async fn blackhole() -> (String, Blackhole) {
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = format!("127.{}.250.{}", 64 + (high & 63), low.clamp(1, 254));
    let listener = Blackhole::listen(&format!("{ip}:9090")).await;
    (ip, listener)
}

async fn create_slow_service(fixture: &Fixture, number: usize, ip: &str) {
    let name = format!("slow-{number}");
    let metadata = json!({"name": name, "namespace": fixture.namespace});
    // Blocked, so that a reconcile only waits for the servers.
    let spec = json!({"database": {"urlSecretRef": {"name": "missing"}}, "redis": {"urlSecretRef": {"name": "missing"}}});
    let object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": metadata, "spec": spec,
    });
    apply(&fixture.client, &object).await;
    let labels = json!({
        "app.kubernetes.io/name": "latchkey",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/managed-by": "latchkey-operator",
    });
    let pod = json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "server",
                "image": "none",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    let pods: Api<Pod> = fixture.api();
    let pod = serde_json::from_value(pod).expect("a pod");
    pods.create(&PostParams::default(), &pod).await.expect("the API server accepts the pod");
    set_status(&pods, &name, &running(ip)).await.expect("the pod's status is written");
}

#[tokio::test]
async fn servers_that_do_not_respond_delay_no_other_auth_service() {
    let fixture = Fixture::new("slow").await;
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    wait_for(fixture.any("Service"), NAME, |service| service.map(drop).ok_or("no Service".to_owned())).await;
    let (ip, servers) = blackhole().await;
    stream::iter(0..SLOW)
        .for_each_concurrent(16, async |number| create_slow_service(&fixture, number, &ip).await)
        .await;
    let services = fixture.api::<AuthService>();
    wait_for(services.clone(), &format!("slow-{}", SLOW - 1), |object| {
        let object = object.ok_or("it is gone")?;
        condition(object, "Ready").map(drop).ok_or("no condition".to_owned())
    })
    .await;

    // All of them are reconciled at the same time.
    let before = servers.accepted();
    let touch = json!({"metadata": {"annotations": {"touched": "now"}}});
    stream::iter(0..SLOW)
        .for_each_concurrent(16, async |number| {
            let (parameters, patch) = (PatchParams::default(), Patch::Merge(touch.clone()));
            services
                .patch(&format!("slow-{number}"), &parameters, &patch)
                .await
                .expect("the API server accepts it");
        })
        .await;
    wait::until("16 requests to the servers", async || {
        let requests = servers.accepted() - before;
        wait::check(requests >= 16, requests)
    })
    .await;
    let begun = Instant::now();
    let drift = json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}});
    let patch = Patch::Merge(drift);
    fixture
        .any("Service")
        .patch(NAME, &PatchParams::default(), &patch)
        .await
        .expect("the API server accepts it");
    let selected = "/spec/selector/app.kubernetes.io~1instance";
    fixture.wait_for_value("Service", NAME, selected, &json!(NAME)).await;
    assert!(begun.elapsed() < AT_MOST, "it was repaired only after {:?}", begun.elapsed());
}

//! Servers that do not respond only delay their own AuthService.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use latchkey_crds::AuthService;
use latchkey_tests::blackhole::Blackhole;
use latchkey_tests::control_plane::apply;
use latchkey_tests::wait;
use serde_json::json;

use crate::fixture::{Fixture, NAME, condition};
use crate::waiting::wait_for;

/// Far more than the number of reconcile slots.
const SLOW: usize = 96;
/// A reconcile waits two seconds for its servers: sixteen at a time, the last one would start after twelve.
const AT_MOST: Duration = Duration::from_secs(4);

/// An address that accepts connections and never responds.
async fn silent_address() -> (String, Blackhole) {
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = format!("127.{}.250.{}", 64 + (high & 63), low.clamp(1, 254));
    let silent = Blackhole::listen(&format!("{ip}:9090")).await;
    (ip, silent)
}

async fn make_slow_one(fixture: &Fixture, number: usize, ip: &str) {
    let name = format!("slow-{number}");
    let metadata = json!({"name": name, "namespace": fixture.namespace});
    // Blocked, so that only the servers are waited for.
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
    pods.create(&PostParams::default(), &pod).await.expect("the pod is taken");
    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}});
    pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.expect("it is taken");
}

#[tokio::test]
async fn servers_that_do_not_answer_hold_up_nobody_else() {
    let fixture = Fixture::new("slow").await;
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    wait_for(fixture.any("Service"), NAME, |service| service.map(drop).ok_or("no Service".to_owned())).await;
    let (ip, silent) = silent_address().await;
    stream::iter(0..SLOW)
        .for_each_concurrent(16, async |number| make_slow_one(&fixture, number, &ip).await)
        .await;
    let services = fixture.api::<AuthService>();
    wait_for(services.clone(), &format!("slow-{}", SLOW - 1), |object| {
        let object = object.ok_or("it is gone")?;
        condition(object, "Ready").map(drop).ok_or("no condition".to_owned())
    })
    .await;

    // All of them are reconciled at the same time.
    let before = silent.taken();
    let touch = json!({"metadata": {"annotations": {"touched": "now"}}});
    stream::iter(0..SLOW)
        .for_each_concurrent(16, async |number| {
            let (parameters, patch) = (PatchParams::default(), Patch::Merge(touch.clone()));
            services.patch(&format!("slow-{number}"), &parameters, &patch).await.expect("it is taken");
        })
        .await;
    wait::until("the silent servers to be asked", async || (silent.taken() >= before + 16).then_some(()))
        .await;
    let begun = Instant::now();
    let drift = json!({"spec": {"selector": {"app.kubernetes.io/instance": "somebody-else"}}});
    let patch = Patch::Merge(drift);
    fixture.any("Service").patch(NAME, &PatchParams::default(), &patch).await.expect("it is taken");
    let selected = "/spec/selector/app.kubernetes.io~1instance";
    fixture.wait_for_value("Service", NAME, selected, &json!(NAME)).await;
    assert!(begun.elapsed() < AT_MOST, "it was repaired only after {:?}", begun.elapsed());
}

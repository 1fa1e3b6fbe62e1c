//! Objects of tenants that try to exhaust the operator's memory: any user of a namespace can create Secrets and
//! ConfigMaps, and set the operator's label on them. The operator watches all of them.

use futures::StreamExt;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use latchkey_tests::operator::Operator;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};

/// The number of big Secrets, and of big ConfigMaps.
const BIG: usize = 120;
/// The size of each; the API server accepts at most 1 MiB.
const BYTES: usize = 700_000;
/// The number of Secrets without the label, and of ConfigMaps.
const OTHERS: usize = 1_500;
/// The size of the metadata of each.
const METADATA: usize = 50_000;
/// How much memory the operator may take beyond what it takes without these objects.
const MOST_GROWTH: u64 = 24 * 1024 * 1024;

/// A text that cannot be compressed.
fn noise(length: usize) -> String {
    let text: String = (0..=length / 32).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    text[..length].to_owned()
}

async fn create_all(fixture: &Fixture, kind: &str, objects: impl Iterator<Item = Value>) {
    let api = fixture.any(kind);
    futures::stream::iter(objects)
        .for_each_concurrent(8, async |object| {
            let object: DynamicObject = serde_json::from_value(object).expect("an object");
            api.create(&PostParams::default(), &object).await.expect("it is created");
        })
        .await;
}

/// Waits until the operator has processed all earlier events of Secrets and ConfigMaps, and returns its peak memory.
async fn peak_after_all_events(fixture: &Fixture, operator: &Operator) -> u64 {
    for (kind, name) in [("ConfigMap", "auth-settings"), ("Secret", "auth-jwt-keys")] {
        let change = json!({"metadata": {"labels": {"app.kubernetes.io/component": "x"}}});
        let api = fixture.any(kind);
        api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.expect("it is changed");
        let label = "/metadata/labels/app.kubernetes.io~1component";
        fixture.wait_for_value(kind, name, label, &json!("server")).await;
    }
    operator.memory().peak
}

/// Starts an operator before and after `create`, and compares the memory of both with that before.
async fn assert_bounded(name: &str, create: impl AsyncFn(&Fixture)) {
    let fixture = Fixture::new(name).await;
    let _kubelet = fixture.start_kubelet();
    let mut operator = fixture.start_operator().await;
    fixture.servers.answer_healthy(&[]);
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let before = peak_after_all_events(&fixture, &operator).await;
    create(&fixture).await;
    let growth = peak_after_all_events(&fixture, &operator).await.saturating_sub(before);
    assert!(growth < MOST_GROWTH, "the operator took {growth} bytes more for what it watched");
    operator.terminate();
    let operator = fixture.start_operator().await;
    let growth = peak_after_all_events(&fixture, &operator).await.saturating_sub(before);
    assert!(growth < MOST_GROWTH, "the operator took {growth} bytes more for what it listed");
}

fn labelled(number: usize, data: &Value) -> Value {
    json!({
        "metadata": {
            "name": format!("big-{number}"),
            "labels": {"app.kubernetes.io/managed-by": "latchkey-operator", "app.kubernetes.io/instance": NAME},
        },
        "data": data,
    })
}

#[tokio::test]
async fn many_big_objects_with_the_label_of_the_operator_take_little_memory() {
    assert_bounded("big-objects", async |fixture| {
        let (config_maps, secrets) = (0..BIG, 0..BIG);
        let config_maps = config_maps.map(|number| labelled(number, &json!({"key": noise(BYTES)})));
        create_all(fixture, "ConfigMap", config_maps).await;
        let secrets = secrets.map(|number| labelled(number, &json!({"key": noise(BYTES)})));
        create_all(fixture, "Secret", secrets).await;
    })
    .await;
}

#[tokio::test]
async fn many_objects_of_others_take_little_memory() {
    assert_bounded("many-objects", async |fixture| {
        for kind in ["ConfigMap", "Secret"] {
            let annotations = json!({"description": noise(METADATA)});
            let objects = (0..OTHERS).map(|number| {
                json!({"metadata": {"name": format!("a-long-name-of-an-object-of-another-team-{number}"), "annotations": annotations}})
            });
            create_all(fixture, kind, objects).await;
        }
    })
    .await;
}

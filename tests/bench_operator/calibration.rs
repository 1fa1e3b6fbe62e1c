//! The maximum throughput of this API server on this machine, as a reference for all other figures.

use std::time::Instant;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use latchkey_tests::control_plane::apply;
use serde_json::json;

const WRITES: usize = 2000;
const CONCURRENCY: usize = 16;
const NAMESPACE: &str = "calibration";

/// The number of small objects per second that a client can apply if it does nothing else.
pub async fn first_applies_a_second(client: &Client) -> f64 {
    let metadata = json!({"name": NAMESPACE});
    apply(client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
    let begun = Instant::now();
    let writes = stream::iter(0..WRITES).for_each_concurrent(CONCURRENCY, async |number| {
        let metadata = json!({"name": format!("object-{number}"), "namespace": NAMESPACE});
        let data = json!({"text": "x".repeat(500)});
        apply(client, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
            .await;
    });
    writes.await;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = WRITES as f64 / begun.elapsed().as_secs_f64();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let all = (DeleteParams::default(), ListParams::default());
    api.delete_collection(&all.0, &all.1).await.expect("they are deleted");
    rate
}

//! An OAuth client: its credentials work within seconds, through a rotation, and no longer than its AuthClient.

use std::time::Instant;

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use latchkey_tests::app::path;
use latchkey_tests::cluster::note;
use latchkey_tests::logs::leak;
use serde_json::{Value, json};

use crate::client::{Client, Request, url_of};
use crate::namespace::{NAME, Namespace};
use crate::waiting::wait_for;
use crate::{release, stores};

/// The scope of every client here.
const SCOPE: &str = "orders:read";

fn clients(namespace: &Namespace) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("latchkey.dev", "v1alpha1", "AuthClient"));
    Api::namespaced_with(namespace.client.clone(), &namespace.name, &resource)
}

/// Applies a confidential AuthClient whose client id is its name, and waits until it is ready.
pub async fn register(namespace: &Namespace, name: &str) {
    namespace
        .apply(json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient", "metadata": {"name": name},
            "spec": {"authServiceRef": {"name": NAME}, "clientId": name, "scopes": [SCOPE]},
        }))
        .await;
    wait_until_ready(namespace, name).await;
}

/// Waits until the AuthClient is ready for its current generation.
pub async fn wait_until_ready(namespace: &Namespace, name: &str) {
    let api = clients(namespace);
    wait_for("the AuthClient to be ready", async || {
        let found = api.get(name).await.map_err(|error| error.to_string())?;
        let conditions = found.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().any(|condition| {
            condition["type"] == "Ready"
                && condition["status"] == "True"
                && condition["observedGeneration"].as_i64() == found.metadata.generation
        });
        if ready { Ok(()) } else { Err(format!("{conditions:?}")) }
    })
    .await;
}

/// The client secret in the Secret that the operator writes for an AuthClient.
pub async fn secret_of(namespace: &Namespace, name: &str) -> String {
    namespace.secret(&format!("{name}-oauth"), "client-secret").await
}

/// Requests a rotation of the client secret.
pub async fn rotate(namespace: &Namespace, name: &str) {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"latchkey.dev/rotate-secret": "1"}}}));
    clients(namespace).patch(name, &PatchParams::default(), &patch).await.expect("annotated");
}

/// Deletes an AuthClient. Its finalizer keeps it until no replica accepts it.
pub async fn delete(namespace: &Namespace, name: &str) {
    clients(namespace).delete(name, &DeleteParams::default()).await.expect("it is deleted");
}

/// Whether the AuthClient exists, if only for its finalizer.
pub async fn exists(namespace: &Namespace, name: &str) -> bool {
    clients(namespace).get_opt(name).await.expect("a response").is_some()
}

/// Waits until the deletion is complete.
pub async fn wait_until_gone(namespace: &Namespace, name: &str) {
    wait_for("the AuthClient to be gone", async || match clients(namespace).get_opt(name).await {
        Ok(None) => Ok(()),
        Ok(Some(found)) => Err(found.data.get("status").map(Value::to_string).unwrap_or_default()),
        Err(error) => Err(error.to_string()),
    })
    .await;
}

/// A request for a token, at a server whose URL is `base`.
pub fn token_request(base: &str, id: &str, secret: &str) -> Request {
    Request::post(format!("{base}{}", path::TOKEN))
        .field("grant_type", "client_credentials")
        .field("client_id", id)
        .field("client_secret", secret)
}

#[tokio::test]
async fn a_client_obtains_tokens_until_it_is_deleted() {
    let namespace = Namespace::new("oauth-clients").await;
    let _stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    namespace.bring_up("external stores, 2 replicas", stores::spec(2)).await;
    client.wait_until_routed().await;

    let begun = Instant::now();
    register(&namespace, "orders").await;
    note(&format!(
        "the first AuthClient, apply to Ready, with a rollout: {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    let pods = namespace.wait_for_server_pods(2, &[]).await;
    let bases: Vec<String> = pods
        .iter()
        .filter_map(|pod| pod.status.as_ref()?.pod_ip.as_ref())
        .map(|address| url_of(address, 8080))
        .collect();
    let secret = secret_of(&namespace, "orders").await;
    let mut token = String::new();
    for base in &bases {
        let answer = client.send(&token_request(base, "orders", &secret)).ok(200);
        assert_eq!(answer["scope"], SCOPE);
        answer["access_token"].as_str().expect("a token").clone_into(&mut token);
    }

    // A rotation refuses no request: neither with the secret that applications read, nor with the previous one.
    rotate(&namespace, "orders").await;
    let begun = Instant::now();
    let next = loop {
        let now = secret_of(&namespace, "orders").await;
        for base in &bases {
            client.send(&token_request(base, "orders", &now)).ok(200);
            client.send(&token_request(base, "orders", &secret)).ok(200);
        }
        if now != secret {
            break now;
        }
        assert!(begun.elapsed().as_secs() < 120, "the secret is not rotated");
    };
    note(&format!("a rotation of a client secret: {:.1} s", begun.elapsed().as_secs_f64()));
    wait_until_ready(&namespace, "orders").await;

    // When the deletion is complete, no replica accepts the client or its token.
    let verify = |base: &String| Request::get(format!("{base}{}", path::VERIFY)).bearer(&token);
    for base in &bases {
        assert_eq!(client.send(&verify(base)).status, 200);
    }
    delete(&namespace, "orders").await;
    wait_until_gone(&namespace, "orders").await;
    for base in &bases {
        let statuses = client.statuses(&[verify(base), token_request(base, "orders", &next)]);
        assert_eq!(statuses, [401, 401], "{base}");
    }
    for line in namespace.server_log().lines().chain(release::operator_log().lines()) {
        assert_eq!(leak(line), None, "the log contains a secret: {line}");
        assert!(!line.contains(&secret) && !line.contains(&next), "the log contains a client secret");
    }
}

//! An AuthService with embedded stores.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use latchkey_crds::conditions;
use latchkey_tests::logs::secret;
use serde_json::json;

use crate::client::Client;
use crate::namespace::{Namespace, is_ready, uids};
use crate::stores;
use crate::waiting::wait_for;

#[tokio::test]
async fn an_empty_spec_works_and_a_first_superuser_can_be_added_later() {
    let namespace = Namespace::new("embedded").await;
    let ready = namespace.bring_up("embedded stores", json!({})).await;
    let status = ready.status.expect("a status");
    assert_eq!(status.ready_replicas, 1);
    assert_eq!(status.endpoint.as_deref(), Some("http://auth.e2e-embedded.svc"));
    let client = Client::start(&namespace).await;
    client.wait_until_routed().await;
    client.post_login("root.admin", "not the password").problem(401);
    for kind in [conditions::DATABASE_REACHABLE, conditions::REVOCATION_STORE_READY, conditions::KEYS_READY] {
        namespace.wait_for_condition(kind, "True").await;
    }

    let old = uids(&namespace.server_pods().await);
    let password = secret("admin");
    stores::apply_admin(&namespace, &password).await;
    namespace.merge(json!({"spec": {"bootstrapAdmin": {"secretRef": {"name": "admin"}}}})).await;
    namespace.wait_until_ready().await;
    namespace.wait_for_server_pods(1, &old).await;
    client.wait_until_routed().await;
    let session = client.log_in("root.admin", &password);
    let me = client.me(&session.access).ok(200);
    assert_eq!((&me["username"], &me["is_superuser"]), (&json!("root.admin"), &json!(true)));

    // Without a volume the data is lost with the pod, which a condition reports. The service recovers, and refuses the
    // tokens of the lost database.
    replace_the_database_pod(&namespace).await;
    namespace.wait_for_condition(conditions::READY, "False").await;
    namespace.wait_until_ready().await;
    client.wait_until_routed().await;
    client.me(&session.access).problem(401);
    client.log_in("root.admin", &password);
}

#[tokio::test]
async fn data_on_a_volume_survives_the_database_pod() {
    let namespace = Namespace::new("volume").await;
    let password = secret("admin");
    stores::apply_admin(&namespace, &password).await;
    let spec = json!({
        "database": {"embedded": {"storage": "1Gi"}},
        "bootstrapAdmin": {"secretRef": {"name": "admin"}},
    });
    namespace.bring_up("embedded stores on a volume", spec).await;
    let client = Client::start(&namespace).await;
    client.wait_until_routed().await;
    let session = client.log_in("root.admin", &password);

    replace_the_database_pod(&namespace).await;
    namespace.wait_for_server_pods(1, &[]).await;
    client.wait_until_routed().await;
    // The account and the session are the same. A connection to the former pod may be silent, and is discarded then.
    wait_for("the profile", async || {
        let answer = client.me(&session.access);
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    client.refresh(&session).ok(200);
}

/// Deletes the PostgreSQL pod and waits until its replacement is ready.
async fn replace_the_database_pod(namespace: &Namespace) {
    const NAME: &str = "auth-postgres-0";
    let pods = namespace.api::<Pod>();
    let before = pods.get(NAME).await.expect("the pod").uid();
    pods.delete(NAME, &DeleteParams::default().grace_period(0)).await.expect("the pod is deleted");
    wait_for("the next PostgreSQL pod", async || {
        let pod = pods.get(NAME).await.map_err(|error| error.to_string())?;
        let holds = pod.uid() != before && is_ready(&pod);
        holds.then_some(()).ok_or_else(|| format!("{:?}", pod.status))
    })
    .await;
}

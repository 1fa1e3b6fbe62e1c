//! A logout is effective on every replica when its response arrives.

use latchkey_tests::app::path;
use serde_json::json;

use crate::client::{Client, Request, url_of};
use crate::namespace::Namespace;
use crate::stores;

#[tokio::test]
async fn a_revoked_token_is_refused_by_every_pod_immediately() {
    let namespace = Namespace::new("revocation").await;
    let stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    namespace.bring_up("external stores, 2 replicas", stores::spec(2)).await;
    client.wait_until_routed().await;
    let john = client.create_user(&stores.admin_password, "john");
    let pods = namespace.wait_for_server_pods(2, &[]).await;
    let mut at: Vec<String> = pods
        .iter()
        .filter_map(|pod| pod.status.as_ref()?.pod_ip.as_ref())
        .map(|address| url_of(address, 8080))
        .collect();
    assert_eq!(at.len(), 2, "a pod has no address");

    for _ in 0..4 {
        at.swap(0, 1);
        let session = client.log_in(&john.username, &john.password);
        let me = |pod: &str| Request::get(format!("{pod}{}", path::ME)).bearer(&session.access);
        let log_out = Request::post(format!("{}{}", at[0], path::LOGOUT)).bearer(&session.access);
        let refresh = Request::post(format!("{}{}", at[1], path::REFRESH)).bearer(&session.access);
        let refresh = refresh.json(&json!({"token": session.refresh}));
        // One client sends all requests, without a pause.
        let statuses = client.statuses(&[me(&at[0]), me(&at[1]), log_out, me(&at[1]), refresh, me(&at[0])]);
        assert_eq!(statuses, [200, 200, 200, 401, 401, 401], "logged out at {}", at[0]);
    }
}

//! AuthClients that authenticate without a secret: with keys, or with the tokens of their ServiceAccounts.

use k8s_openapi::api::core::v1::Secret;
use latchkey_clients::{Client, ClientType, Credential, Registry};
use serde_json::{Value, json};

use crate::client_fixture::{
    apply_client, clients, entry, load, texts, wait_for_client, wait_for_entry, wait_for_registry,
    wait_until_ready,
};
use crate::fixture::{Fixture, NAME};

fn key(kid: &str, first: char) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": format!("{first}{}", "A".repeat(42))})
}

fn kids(client: &Client) -> Vec<&str> {
    client.credentials.iter().filter_map(|known| known.key()?.kid.as_deref()).collect()
}

async fn wait_for(fixture: &Fixture, check: impl Fn(&Client) -> bool) -> Client {
    let found = |registry: &Registry| entry(registry, "orders").filter(|client| check(client));
    wait_for_registry(fixture, found).await
}

#[tokio::test]
async fn a_client_with_keys_has_no_secret_unless_it_asks_for_one() {
    let fixture = Fixture::new("client-keys").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.servers.answer_healthy(&[]);
    fixture.apply(json!({})).await;
    let spec = |keys: Value| json!({"clientId": "orders", "jwks": {"keys": keys}});
    apply_client(&fixture, "orders", spec(json!([key("1", 'B')]))).await;
    let first = wait_for_entry(&fixture, "orders").await;
    assert_eq!((first.client_type, kids(&first)), (ClientType::Confidential, vec!["1"]));
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
    wait_for_client(&clients(&fixture), "orders", ("SecretReady", "True", "NotRequired")).await;
    assert!(fixture.api::<Secret>().get_opt("orders-oauth").await.expect("a response").is_none());

    // During a rotation both keys work, and each keeps its id.
    apply_client(&fixture, "orders", spec(json!([key("1", 'B'), key("2", 'C')]))).await;
    let both = wait_for(&fixture, |client| client.credentials.len() == 2).await;
    assert_eq!((kids(&both), both.credentials[0].id), (vec!["1", "2"], first.credentials[0].id));
    wait_for_client(&clients(&fixture), "orders", ("Registered", "False", "NotLoaded")).await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
    apply_client(&fixture, "orders", spec(json!([key("2", 'C')]))).await;
    let last = wait_for(&fixture, |client| client.credentials.len() == 1).await;
    assert_eq!(last.credentials[0].id, both.credentials[1].id);

    // A secret on request, which stops working when it is no longer requested.
    let mut with_secret = spec(json!([key("2", 'C')]));
    with_secret["secret"] = json!({});
    apply_client(&fixture, "orders", with_secret).await;
    let requested = wait_for(&fixture, |client| client.credentials.len() == 2).await;
    assert_eq!(kids(&requested), ["2"]);
    assert_eq!(texts(&fixture, "orders-oauth").await["client-id"], "orders");
    apply_client(&fixture, "orders", spec(json!([key("2", 'C')]))).await;
    let without = wait_for(&fixture, |client| client.credentials.len() == 1).await;
    assert_eq!(without.credentials[0].id, last.credentials[0].id);
}

#[tokio::test]
async fn a_workload_is_registered_while_its_auth_service_accepts_workloads() {
    let fixture = Fixture::new("client-workload").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.servers.answer_healthy(&[]);
    fixture.apply(json!({})).await;
    let spec = json!({"type": "workload", "clientId": "orders", "serviceAccounts": [{"name": "orders"}]});
    apply_client(&fixture, "orders", spec).await;
    let refused = ("Accepted", "False", "WorkloadIdentityDisabled");
    let condition = wait_for_client(&clients(&fixture), "orders", refused).await;
    assert!(condition.message.contains("spec.workloadIdentity.enabled"), "{}", condition.message);

    fixture.merge(json!({"spec": {"workloadIdentity": {"enabled": true}}})).await;
    let client = wait_for_entry(&fixture, "orders").await;
    let accounts: Vec<_> = client.credentials.iter().filter_map(Credential::service_account).collect();
    assert_eq!((client.client_type, accounts), (ClientType::Workload, vec![(&*fixture.namespace, "orders")]));
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
    wait_for_client(&clients(&fixture), "orders", ("SecretReady", "True", "NotRequired")).await;

    // The pods of the server, and no others, have a token.
    let enabled = json!("true");
    fixture.wait_for_value("ConfigMap", "auth-settings", "/data/WORKLOAD_IDENTITY_ENABLED", &enabled).await;
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    let pod = &deployment.data["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    let volumes = pod["volumes"].as_array().expect("volumes");
    let volume =
        volumes.iter().find(|volume| volume["name"] == "kubernetes").expect("the volume of the token");
    assert_eq!(volume["projected"]["sources"][0]["serviceAccountToken"]["path"], "token");

    fixture.merge(json!({"spec": {"workloadIdentity": null}})).await;
    wait_for_client(&clients(&fixture), "orders", refused).await;
    wait_for_registry(&fixture, |registry| registry.clients().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_server_that_may_not_review_tokens_is_reported_with_the_remedy() {
    let fixture = Fixture::new("token-reviews").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let mut status = latchkey_tests::status_port::healthy(&[]);
    status["dependencies"]["token_reviews"] =
        json!({"ready": false, "message": "why", "reason": "forbidden"});
    fixture.servers.answer(status);
    fixture.apply(json!({"workloadIdentity": {"enabled": true}})).await;
    fixture.wait_for_reason("WorkloadIdentityReady", "False", "TokenReviewsForbidden").await;
    fixture.servers.answer_healthy(&[]);
    fixture.wait_for_reason("WorkloadIdentityReady", "Unknown", "NoReplicaReports").await;
}

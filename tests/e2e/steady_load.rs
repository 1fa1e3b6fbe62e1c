//! What happens to an AuthService in its life, one after the other, under a steady load of logins, reads and
//! client credentials.

use std::env;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, EvictParams};
use kube::{Api, ResourceExt};
use latchkey_tests::app::path;
use latchkey_tests::cluster::note;
use latchkey_tests::logs::secret;
use serde_json::json;

use crate::client::{Client, Request};
use crate::load::{Load, Login, OauthClient};
use crate::namespace::{Namespace, uids};
use crate::release::{self, SYSTEM};
use crate::waiting::wait_for;
use crate::{keys, oauth_clients, stores};

/// How long there is no operator: `make campaign-operator` sets ten minutes.
const WITHOUT_OPERATOR: &str = "LATCHKEY_SECONDS_WITHOUT_OPERATOR";
const ACCOUNTS: usize = 10;
const ROTATIONS: usize = 3;
/// The OAuth client of the load, and one that is deleted while there is no operator.
const CLIENT: &str = "orders";
const FORMER: &str = "former";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_and_ready_is_true_to_the_facts_whatever_an_operator_does() {
    let namespace = Namespace::new("steady").await;
    let stores = stores::start(&namespace).await;
    let client = Client::start(&namespace).await;
    let mut spec = stores::spec(2);
    spec["tokens"] = json!({"keyRotation": {"jwksCacheTime": "3s"}});
    // In ten minutes the accounts log in more often than an account may in an hour.
    spec["rateLimits"] = json!({"loginsPerAccount": 100_000});
    namespace.bring_up("external stores, 2 replicas", spec).await;
    client.wait_until_routed().await;
    let mut logins = Vec::new();
    for number in 0..ACCOUNTS {
        let user = client.create_user(&stores.admin_password, &format!("user{number}"));
        logins.push(Login { username: user.username, password: user.password });
    }
    let access = client.log_in("root.admin", &stores.admin_password).access;
    for name in [CLIENT, FORMER] {
        oauth_clients::register(&namespace, name).await;
    }
    let secrets = vec![oauth_clients::secret_of(&namespace, CLIENT).await];
    let load = Load::start(&namespace, access, logins, OauthClient { id: CLIENT, secrets }).await;
    load.wait_for_requests(40).await;
    let step = |name: &str| note(&format!("steady load, {name}: {}", load.summary()));

    let mut old = uids(&namespace.server_pods().await);
    namespace.merge(json!({"spec": {"pod": {"annotations": {"example.test/rollout": "1"}}}})).await;
    old = uids(&namespace.wait_for_server_pods(2, &old).await);
    namespace.wait_until_ready().await;
    step("rolling update");

    for replicas in [3, 2] {
        namespace.merge(json!({"spec": {"replicas": replicas}})).await;
        namespace.wait_for_server_pods(replicas, &[]).await;
        namespace.wait_until_ready().await;
    }
    step("scaled up and down");

    for number in 0..ROTATIONS {
        let before = keys::active(&namespace).await;
        keys::annotate(&namespace, "rotate-keys", &format!("steady-{number}")).await;
        wait_for("another active key", async || {
            let now = keys::active(&namespace).await;
            if now == before { Err(now) } else { Ok(()) }
        })
        .await;
    }
    step("three rotations");

    rotate_client_secret(&load, &namespace).await;
    step("a rotation of a client secret");

    let password = secret("steady");
    stores::add_database_role(&namespace, "steady", &password);
    let url = format!("postgres://steady:{password}@postgres:5432/auth");
    namespace.apply_secret("database", &[("url", &url)]).await;
    let pods = namespace.wait_for_server_pods(2, &old).await;
    namespace.wait_until_ready().await;
    step("changed credentials of the database");

    let api = namespace.api::<Pod>();
    api.evict(&pods[0].name_any(), &EvictParams::default()).await.expect("the pod is evicted");
    let mut pods = namespace.wait_for_server_pods(2, &uids(&pods[..1])).await;
    for _ in 0..2 {
        api.delete(&pods[0].name_any(), &DeleteParams::default()).await.expect("the pod is deleted");
        pods = namespace.wait_for_server_pods(2, &uids(&pods[..1])).await;
    }
    namespace.wait_until_ready().await;
    step("an evicted and two deleted pods");

    release::upgrade(&["log.level=debug", "podAnnotations.example\\.test/upgrade=steady"]);
    namespace.merge(json!({"spec": {"pod": {"annotations": {"example.test/rollout": "2"}}}})).await;
    let pods = namespace.wait_for_server_pods(2, &uids(&pods)).await;
    namespace.wait_until_ready().await;
    step("an upgrade of the operator");

    without_operator(&load, &namespace, &client, &pods).await;
    namespace.merge(json!({"spec": {"pod": {"annotations": {"example.test/rollout": "3"}}}})).await;
    namespace.wait_for_server_pods(2, &uids(&pods)).await;
    namespace.wait_until_ready().await;
    step("no operator for a while");
    load.stop().await;
}

/// The instances of an application read the new client secret at different times.
async fn rotate_client_secret(load: &Load, namespace: &Namespace) {
    let old = oauth_clients::secret_of(namespace, CLIENT).await;
    oauth_clients::rotate(namespace, CLIENT).await;
    let new = wait_for("another client secret", async || {
        let now = oauth_clients::secret_of(namespace, CLIENT).await;
        if now == old { Err("the same") } else { Ok(now) }
    })
    .await;
    load.use_secrets(&[&old, &new]);
    load.wait_for_requests(100).await;
    oauth_clients::wait_until_ready(namespace, CLIENT).await;
    load.use_secrets(&[&new]);
}

/// Stops the operator for a while, in which a pod is lost and an AuthClient is deleted: its client keeps its access until
/// the operator is back, and the deletion is not complete before.
async fn without_operator(load: &Load, namespace: &Namespace, client: &Client<'_>, pods: &[Pod]) {
    let secret = oauth_clients::secret_of(namespace, FORMER).await;
    let request = oauth_clients::token_request(&client.url(""), FORMER, &secret);
    let token = client.send(&request).ok(200)["access_token"].as_str().expect("a token").to_owned();
    let statuses = || {
        let verify = Request::get(client.url(path::VERIFY)).bearer(&token);
        client.statuses(&[verify, request.clone()])
    };
    let seconds = env::var(WITHOUT_OPERATOR).map_or(5, |text| text.parse().expect("a number of seconds"));
    let operators: Api<Deployment> = Api::namespaced(namespace.client.clone(), SYSTEM);
    load.set_unattended(true);
    scale_operator(namespace, &operators, 0).await;
    oauth_clients::delete(namespace, FORMER).await;
    let begun = Instant::now();
    let api = namespace.api::<Pod>();
    api.delete(&pods[0].name_any(), &DeleteParams::default()).await.expect("the pod is deleted");
    namespace.wait_for_server_pods(2, &uids(&pods[..1])).await;
    // The requests measure the time.
    while begun.elapsed() < Duration::from_secs(seconds) {
        load.wait_for_requests(40).await;
    }
    assert!(oauth_clients::exists(namespace, FORMER).await, "the deletion is complete without the operator");
    assert_eq!(statuses(), [200, 200]);
    scale_operator(namespace, &operators, 1).await;
    load.set_unattended(false);
    oauth_clients::wait_until_gone(namespace, FORMER).await;
    assert_eq!(statuses(), [401, 401]);
}

async fn scale_operator(namespace: &Namespace, operators: &Api<Deployment>, replicas: i32) {
    let name = "latchkey-operator";
    let mut kubectl = namespace.cluster.kubectl();
    kubectl.args(["-n", SYSTEM, "scale", &format!("deployment/{name}"), &format!("--replicas={replicas}")]);
    latchkey_tests::process::run_ok(&mut kubectl);
    wait_for("the operator to be scaled", async || {
        let found = operators.get(name).await.map_err(|e| e.to_string())?.status.unwrap_or_default();
        let now = (found.replicas.unwrap_or(0), found.ready_replicas.unwrap_or(0));
        if now == (replicas, replicas) { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

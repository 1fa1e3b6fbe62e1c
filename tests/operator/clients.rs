//! AuthClients: what the operator makes of an accepted one, and when it is ready.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use latchkey_clients::{ClaimFormat, ClientType, CredentialKind};
use latchkey_tests::control_plane::{CONTROLLERS, Contents, ControlPlane, auth_client_crd, auth_service_crd};
use latchkey_tests::kubelet::SERVERS;
use latchkey_tests::status_port::healthy;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::client_fixture::{
    REGISTRY, apply_client, clients, load, registry, report, texts, wait_for_client, wait_for_entry,
    wait_for_registry, wait_until_ready,
};
use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

fn digest_of(secret: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    digest.as_ref().try_into().expect("32 bytes")
}

#[tokio::test]
async fn a_client_is_ready_when_every_replica_has_loaded_it() {
    let fixture = Fixture::new("client").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.servers.answer_healthy(&[]);
    fixture.apply(json!({"issuer": "https://auth.example.com"})).await;
    fixture.wait_for_condition("Ready", "True").await;
    assert!(registry(&fixture).await.is_none(), "without AuthClients there is no registry");

    apply_client(
        &fixture,
        "orders",
        json!({
            "clientId": "orders", "scopes": ["orders:read"], "audiences": ["https://api.example.com"],
            "allowedGroups": ["/shop/staff"],
            "claims": [{"name": "roles", "values": [{"group": "/shop/admins", "value": "admin"}]}],
        }),
    )
    .await;
    let client = wait_for_entry(&fixture, "orders").await;
    assert_eq!(client.allowed_groups, ["/shop/staff"]);
    assert_eq!((client.claims[0].name.as_str(), client.claims[0].format), ("roles", ClaimFormat::Array));
    let value = &client.claims[0].values[0];
    assert_eq!((value.group.as_str(), value.value.as_str()), ("/shop/admins", "admin"));
    assert_eq!((client.client_type, client.access_token_ttl), (ClientType::Confidential, 600));
    assert_eq!(
        (&client.scopes[..], &client.audiences[..]),
        (&["orders:read".to_owned()][..], &["https://api.example.com".to_owned()][..])
    );
    // The Secret has what an application needs, and the registry only a digest.
    let secret = texts(&fixture, "orders-oauth").await;
    assert_eq!(secret["client-id"], "orders");
    assert_eq!(secret["issuer"], "https://auth.example.com");
    assert_eq!(secret["token-url"], "https://auth.example.com/api/v1/auth/token");
    assert_eq!(secret["client-secret"].len(), 43, "32 random bytes in base64url");
    let [credential] = &client.credentials[..] else { panic!("one credential") };
    let CredentialKind::Secret { sha256 } = &credential.kind else { panic!("a secret") };
    assert_eq!(*sha256.as_bytes(), digest_of(&secret["client-secret"]));
    let serial = registry(&fixture).await.expect("the registry").serial();

    // A server of an earlier release, one without a registry, and one with another registry.
    let api = clients(&fixture);
    let registered = |reason: &'static str| wait_for_client(&api, "orders", ("Registered", "False", reason));
    let outdated = registered("ReplicasOutdated").await;
    assert!(outdated.message.contains("upgrade"), "{}", outdated.message);
    let mut without = healthy(&[]);
    without["clients"] = Value::Null;
    fixture.servers.answer(without);
    registered("NotLoaded").await;
    report(&fixture, serial - 1);
    registered("NotLoaded").await;
    wait_for_client(&api, "orders", ("Ready", "False", "NotLoaded")).await;
    report(&fixture, serial);
    wait_until_ready(&fixture, "orders").await;
    let object = api.get("orders").await.expect("the AuthClient");
    let status = &object.data["status"];
    assert_eq!((&status["clientId"], &status["secretName"]), (&json!("orders"), &json!("orders-oauth")));
    assert!(status["secretRotatedAt"].is_string());
    assert!(!object.data.to_string().contains(&secret["client-secret"]));

    // The pods mount the registry, and their kubelets were notified of it.
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    let pod = &deployment.data["spec"]["template"]["spec"];
    let volume =
        pod["volumes"].as_array().expect("volumes").iter().find(|volume| volume["name"] == "clients");
    let secret = &volume.expect("the volume of the registry")["secret"];
    assert_eq!((&secret["secretName"], &secret["optional"]), (&json!(REGISTRY), &json!(true)));
    assert!(pod["containers"][0]["volumeMounts"].to_string().contains("/etc/latchkey/clients"));
    let settings = fixture.any("ConfigMap").get("auth-settings").await.expect("the settings");
    assert_eq!(settings.data["data"]["CLIENTS_FILE"], "/etc/latchkey/clients/clients.json.gz");

    // Another client rises the serial; the first one stays ready.
    apply_client(&fixture, "spa", json!({"type": "public", "grantTypes": ["password", "refresh_token"]}))
        .await;
    let public = wait_for_entry(&fixture, &format!("{}.spa", fixture.namespace)).await;
    assert!(public.credentials.is_empty() && public.client_type == ClientType::Public);
    let next = registry(&fixture).await.expect("the registry").serial();
    assert_eq!(next, serial + 1);
    wait::until("the pods to be annotated", async || {
        let pods = fixture.api::<Pod>().list(&ListParams::default().labels(SERVERS)).await.expect("pods");
        let notified = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .all(|pod| pod.annotations().get("latchkey.dev/clients") == Some(&next.to_string()));
        wait::check(notified, pods.items.len())
    })
    .await;
    wait_for_client(&api, "spa", ("Registered", "False", "NotLoaded")).await;
    wait_until_ready(&fixture, "orders").await;
    load(&fixture).await;
    wait_until_ready(&fixture, "spa").await;
    wait_for_client(&api, "spa", ("SecretReady", "True", "NotRequired")).await;
}

#[tokio::test]
async fn a_restart_and_a_steady_state_change_nothing() {
    let fixture = Fixture::new("client-steady").await;
    let _kubelet = fixture.start_kubelet();
    let mut operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    for name in ["one", "two"] {
        apply_client(&fixture, name, json!({})).await;
    }
    wait_for_registry(&fixture, |registry| (registry.clients().len() == 2).then_some(())).await;
    load(&fixture).await;
    for name in ["one", "two"] {
        wait_until_ready(&fixture, name).await;
    }
    fixture.wait_for_condition("Ready", "True").await;
    fixture.wait_for_reason("Progressing", "False", "Settled").await;
    fixture.wait_for_audit_log().await;
    let before = registry(&fixture).await;
    operator.terminate();
    let written = fixture.writes().len();
    let restarted = fixture.start_operator().await;
    restarted.wait_for_reconciles(0.0).await;
    let reconciled = async || restarted.metric("latchkey_operator_client_reconcile_total", &[]).await;
    wait::until("both AuthClients to be reconciled", async || {
        let count = reconciled().await;
        wait::check(count >= 2.0, count)
    })
    .await;
    let count = restarted.metric("latchkey_operator_reconcile_total", &[]).await;
    fixture.touch().await;
    restarted.wait_for_reconciles(count).await;
    fixture.wait_for_audit_log().await;
    assert_eq!(fixture.writes()[written..], []);
    assert_eq!(registry(&fixture).await, before);
    let ready = restarted.metric("latchkey_operator_auth_clients", &["reason=\"Available\""]).await;
    assert!((ready - 2.0).abs() < 0.5, "{ready}");
}

/// Users who may create Secrets, but not read or change any, could otherwise register clients of their own.
#[tokio::test]
async fn a_foreign_registry_is_not_mounted() {
    let fixture = Fixture::new("client-foreign").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply_secret(REGISTRY, &[("clients.json.gz", r#"{"format":1,"serial":1,"clients":[]}"#)]).await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert!(!deployment.data.to_string().contains(REGISTRY));
    apply_client(&fixture, "orders", json!({})).await;
    let conflict = fixture.wait_for_reason("Ready", "False", "NameConflict").await;
    assert!(conflict.message.contains(REGISTRY), "{}", conflict.message);
    wait_for_client(&clients(&fixture), "orders", ("Registered", "False", "AuthServiceNotReady")).await;
    let deployment = fixture.any("Deployment").get(NAME).await.expect("the Deployment");
    assert!(!deployment.data.to_string().contains(REGISTRY));
    // It is never touched, and registering continues without it.
    assert_eq!(registry(&fixture).await.expect("the foreign one").serial(), 1);
    fixture.api::<Secret>().delete(REGISTRY, &DeleteParams::default()).await.expect("it is deleted");
    wait_for_entry(&fixture, &format!("{}.orders", fixture.namespace)).await;
    fixture.wait_for_condition("Ready", "True").await;
}

#[tokio::test]
async fn a_lost_registry_is_written_anew_with_a_higher_serial() {
    let fixture = Fixture::new("client-lost").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    apply_client(&fixture, "orders", json!({})).await;
    let id = format!("{}.orders", fixture.namespace);
    let before =
        wait_for_registry(&fixture, |registry| (registry.clients().len() == 1).then(|| registry.clone()))
            .await;
    let secrets = fixture.api::<Secret>();
    secrets.delete(REGISTRY, &DeleteParams::default()).await.expect("it is deleted");
    let serial = wait_for(secrets, REGISTRY, |secret| secret.map(|_| ()).ok_or("none".to_owned()));
    serial.await;
    let after = registry(&fixture).await.expect("the registry");
    assert!(after.serial() > before.serial(), "{} after {}", after.serial(), before.serial());
    let credential = |registry: &latchkey_clients::Registry| {
        crate::client_fixture::entry(registry, &id).expect("the client").credentials[0].clone()
    };
    assert_eq!(credential(&after).kind, credential(&before).kind, "the same secret");
    assert_ne!(credential(&after).id, credential(&before).id, "an id is never used again");
}

/// The replicas refuse a lower serial than they have loaded.
#[tokio::test]
async fn a_registry_that_was_restored_from_a_backup_gets_a_serial_that_replicas_accept() {
    let fixture = Fixture::new("client-restored").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    apply_client(&fixture, "orders", json!({"clientId": "orders"})).await;
    let first = wait_for_entry(&fixture, "orders").await;
    let secrets = fixture.api::<Secret>();
    let backup = secrets.get(REGISTRY).await.expect("the registry").data;
    for name in ["second", "third"] {
        apply_client(&fixture, name, json!({"clientId": name})).await;
        wait_for_entry(&fixture, name).await;
    }
    load(&fixture).await;
    wait_until_ready(&fixture, "third").await;
    let before = registry(&fixture).await.expect("the registry").serial();
    let restored = kube::api::Patch::Merge(json!({ "data": backup }));
    secrets.patch(REGISTRY, &kube::api::PatchParams::default(), &restored).await.expect("it is restored");
    let after = wait_for_registry(&fixture, |registry| {
        (registry.clients().len() == 3 && registry.serial() > before).then(|| registry.clone())
    })
    .await;
    let orders = crate::client_fixture::entry(&after, "orders").expect("the client");
    assert_eq!(orders.credentials, first.credentials, "its tokens stay valid");
}

/// Helm does not upgrade definitions that were installed without the chart.
#[tokio::test]
async fn without_the_definition_of_clients_auth_services_are_reconciled() {
    let crds = [auth_service_crd()];
    let control_plane = ControlPlane::start(Contents { crds: &crds, controllers: &CONTROLLERS }).await;
    let installation =
        latchkey_tests::operator::Installation::new(&control_plane, "latchkey-system", &[]).await;
    let client = control_plane.client().await;
    let mut operator = installation.start("operator-0");
    operator.wait_until_ready().await;
    let apply = async |object: Value| latchkey_tests::control_plane::apply(&client, &object).await;
    apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}})).await;
    let metadata = json!({"name": NAME, "namespace": "team-a"});
    let object = json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": metadata, "spec": {}});
    apply(object).await;
    let secrets: kube::Api<Secret> = kube::Api::namespaced(client.clone(), "team-a");
    wait_for(secrets.clone(), "auth-jwt-keys", |secret| secret.map(drop).ok_or("none".to_owned())).await;
    assert!(operator.log().contains("AuthServices are reconciled without clients"), "{}", operator.log());

    // It is used as soon as it is installed.
    control_plane.apply_crd(&auth_client_crd()).await;
    let metadata = json!({"name": "orders", "namespace": "team-a"});
    apply(json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient", "metadata": metadata,
        "spec": {"authServiceRef": {"name": NAME}},
    }))
    .await;
    wait_for(secrets, REGISTRY, |secret| secret.map(drop).ok_or("none".to_owned())).await;
    operator.terminate();
}

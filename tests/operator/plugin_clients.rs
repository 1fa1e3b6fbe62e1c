//! `kubectl latchkey clients` on a real API server.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use latchkey_tests::control_plane::{Contents, ControlPlane};
use latchkey_tests::process::run;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::client_fixture::{
    apply_client, clients, load, texts, wait_for_client, wait_for_entry, wait_for_registry, wait_until_ready,
};
use crate::fixture::{Fixture, NAME};
use crate::plugin::{assert_fails, plugin, printed};

const SECRET: &str = "orders-oauth";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_listed_and_shown_with_their_problems() {
    let fixture = Fixture::new("plugin-clients").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    assert_eq!(
        printed(&plugin(&fixture, &["clients", "list"])),
        format!("There is no AuthClient in {}.\n", fixture.namespace)
    );
    fixture.apply(json!({"clients": {"maximum": {"scopes": ["orders:read"]}}})).await;
    let spec = json!({"clientId": "orders", "secret": {"rotationInterval": "48h"}});
    apply_client(&fixture, "orders", spec).await;
    apply_client(&fixture, "refused", json!({"scopes": ["everything"]})).await;
    wait_for_entry(&fixture, "orders").await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
    wait_for_client(&clients(&fixture), "refused", ("Ready", "False", "NotAllowed")).await;

    let text = printed(&plugin(&fixture, &["clients", "list"]));
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let service = format!("{}/{NAME}", fixture.namespace);
    for word in ["True", "Available", "orders", &service, "in "] {
        assert!(line("orders ").contains(word), "{word}: {text}");
    }
    assert!(line("refused ").contains("NotAllowed"), "{text}");
    let all = printed(&plugin(&fixture, &["clients", "list", "-A", "-o", "json"]));
    let is_ours = |one: &&Value| one["namespace"] == fixture.namespace.as_str() && one["name"] == "orders";
    let all = parsed(&all);
    let ours = all.as_array().expect("a list").iter().find(is_ours).expect("the AuthClient").clone();
    assert_eq!((&ours["ready"], &ours["clientId"]), (&json!(true), &json!("orders")));
    assert!(ours["secret"]["rotationDueInSeconds"].as_i64().is_some_and(|due| due > 160_000), "{ours}");

    let shown = printed(&plugin(&fixture, &["clients", "status", "orders"]));
    let secret = texts(&fixture, SECRET).await["client-secret"].clone();
    for word in
        ["Ready, client id orders, confidential", "CONDITION", "Registered", "Loaded", SECRET, "SECRET"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(!shown.contains(&secret), "{shown}");
    wait::until("the warning of the refused client", async || {
        let shown = printed(&plugin(&fixture, &["clients", "status", "refused"]));
        let is_complete =
            ["not Ready", "the scope everything", "WARNING"].iter().all(|word| shown.contains(word));
        wait::check(is_complete, shown)
    })
    .await;

    // A rotation that is due waits for the pause.
    fixture.merge(json!({"spec": {"paused": true}})).await;
    fixture.wait_for_condition("Paused", "True").await;
    let then = Timestamp::now() - SignedDuration::from_hours(50);
    let change = json!({"metadata": {"annotations": {"latchkey.dev/rotated-at": then.to_string()}}});
    let api = fixture.api::<k8s_openapi::api::core::v1::Secret>();
    api.patch(SECRET, &PatchParams::default(), &Patch::Merge(change)).await.expect("the Secret is changed");
    wait::until("the overdue rotation", async || {
        let shown = printed(&plugin(&fixture, &["clients", "status", "orders"]));
        wait::check(shown.contains("overdue by 2h") && shown.contains("is paused"), shown)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_rotated_and_revoked_after_a_confirmation() {
    let fixture = Fixture::new("plugin-rotate").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    apply_client(&fixture, "orders", json!({"clientId": "orders"})).await;
    wait_for_entry(&fixture, "orders").await;
    load(&fixture).await;
    wait_until_ready(&fixture, "orders").await;
    let before = texts(&fixture, SECRET).await["client-secret"].clone();

    let rotate = ["clients", "rotate", "orders"];
    let revoke = ["clients", "revoke-previous", "orders"];
    assert_fails(&plugin(&fixture, &rotate), 1, &["Rotate the secret of", "--yes"]);
    assert_fails(&plugin(&fixture, &revoke), 1, &["stop working now", "--yes"]);
    let object = clients(&fixture).get("orders").await.expect("the AuthClient");
    assert!(object.annotations().keys().all(|name| !name.contains("secret")), "{:?}", object.annotations());

    // The replicas follow while the plugin waits.
    let finished = async |arguments: [&str; 3]| {
        let mut command = fixture.control_plane.plugin();
        command.args(["--namespace", &fixture.namespace]).args(arguments);
        command.args(["--yes", "--wait", "--timeout", "2m"]);
        let waiting = std::thread::spawn(move || run(&mut command));
        wait::until("the end of the request", async || {
            load(&fixture).await;
            fixture.touch().await;
            wait::check(waiting.is_finished(), "the plugin waits")
        })
        .await;
        printed(&waiting.join().expect("the plugin"))
    };
    let text = finished(rotate).await;
    for word in ["rotate-secret requested", "SecretReady: ", "rotate-secret done"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let now = texts(&fixture, SECRET).await["client-secret"].clone();
    assert!(now != before && !text.contains(&now), "{text}");
    let shown = printed(&plugin(&fixture, &["clients", "status", "orders"]));
    assert!(shown.contains("A previous client secret works until"), "{shown}");
    let text = finished(revoke).await;
    assert!(text.contains("revoke-previous-secret done"), "{text}");
    wait_for_registry(&fixture, |registry| {
        let client = registry.clients().first()?;
        (client.credentials.len() == 1).then_some(())
    })
    .await;

    // Nothing finishes the request in time.
    let late = plugin(&fixture, &[&rotate[..], &["--yes", "--wait", "--timeout", "1s"]].concat());
    assert_fails(&late, 5, &["rotate-secret", "not done after 1 seconds", "clients status orders"]);
    let value = parsed(&printed(&plugin(&fixture, &["clients", "status", "orders", "-o", "json"])));
    assert_eq!(value["requested"], json!(["rotate-secret"]), "{value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_the_operator_would_never_finish_are_refused() {
    let fixture = Fixture::new("plugin-refusals").await;
    apply_client(&fixture, "mine", json!({"existingSecretRef": {"name": "from-vault"}})).await;
    apply_client(&fixture, "public", json!({"type": "public", "grantTypes": ["password"]})).await;
    assert_fails(&plugin(&fixture, &["clients", "rotate", "mine", "--yes"]), 1, &["from-vault"]);
    for command in ["rotate", "revoke-previous"] {
        let output = plugin(&fixture, &["clients", command, "public", "--yes"]);
        assert_fails(&output, 1, &["a public client has no secret"]);
        let output = plugin(&fixture, &["clients", command, "other", "--yes"]);
        assert_fails(&output, 4, &["no AuthClient other", "mine, public"]);
    }
    assert_fails(&plugin(&fixture, &["clients", "status", "other"]), 4, &["no AuthClient other"]);
    let complete = plugin(&fixture, &["__complete", "--", "clients", "rotate", ""]);
    assert_eq!(printed(&complete), "mine\npublic\n:4\n");

    let control_plane = ControlPlane::start(Contents { crds: &[], controllers: &[] }).await;
    for command in [&["clients", "list"][..], &["clients", "status", "orders"]] {
        let output = run(control_plane.plugin().args(command));
        assert_fails(&output, 3, &["no kind AuthClient", "upgrade the chart"]);
    }
}

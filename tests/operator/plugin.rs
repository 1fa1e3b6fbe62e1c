//! `kubectl latchkey` on a real API server: status, keys and errors. tests/e2e/plugin.rs has what needs a kubelet.

use std::process::{Command, Output};

use k8s_openapi::api::core::v1::Secret;
use latchkey_crds::AuthService;
use latchkey_tests::control_plane::{Contents, ControlPlane};
use latchkey_tests::kubelet::SERVERS;
use latchkey_tests::process::{OnParentDeath, Process, run};
use latchkey_tests::status_port::with_keys;
use latchkey_tests::{kubelet, programs, wait};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

/// The plugin in the namespace of a fixture.
pub fn plugin(fixture: &Fixture, arguments: &[&str]) -> Output {
    let mut plugin = fixture.control_plane.plugin();
    run(plugin.args(["--namespace", &fixture.namespace]).args(arguments))
}

/// Its output on success.
#[track_caller]
pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The same on a terminal, which `script` provides.
fn on_a_terminal(fixture: &Fixture, arguments: &[&str], no_color: &str) -> String {
    let plugin = fixture.control_plane.plugin();
    let words = plugin.get_args().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> =
        [plugin.get_program().to_string_lossy().into_owned()].into_iter().chain(words).collect();
    let call = format!("{} --namespace {} {}", words.join(" "), fixture.namespace, arguments.join(" "));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &call, "/dev/null"]).env("NO_COLOR", no_color);
    printed(&run(&mut script))
}

#[track_caller]
pub fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for word in words {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_conditions_keys_and_what_each_replica_waits_for() {
    let fixture = Fixture::new("plugin-status").await;
    let _operator = fixture.start_operator().await;
    let kubelet = fixture.start_kubelet();
    fixture.apply(json!({"replicas": 2})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let text = printed(&plugin(&fixture, &["status", NAME]));
    for word in [
        "Ready, 2 of 2 replicas ready",
        "CONDITION",
        "Available",
        "KEY",
        "active",
        "POD",
        "server",
        "postgres",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "colours without a terminal: {text:?}");
    let coloured = printed(&plugin(&fixture, &["status", NAME, "--color=always"]));
    assert!(coloured.contains("\u{1b}[32mReady\u{1b}[0m"), "{coloured:?}");
    for (no_color, is_coloured) in [("", true), ("1", false)] {
        let text = on_a_terminal(&fixture, &["status", NAME], no_color);
        assert!(text.contains("CONDITION") && text.contains("\u{1b}[32m") == is_coloured, "{text:?}");
    }

    let value: Value =
        serde_json::from_str(&printed(&plugin(&fixture, &["status", NAME, "-o", "json"]))).expect("JSON");
    assert_eq!((&value["ready"], &value["readyReplicas"]), (&json!(true), &json!(2)), "{value}");
    assert_eq!(value["signingKeys"][0]["phase"], "active");
    let list = printed(&plugin(&fixture, &["status", "-A", "-o", "yaml"]));
    let list: Vec<Value> = serde_yaml_ng::from_str(&list).expect("YAML");
    assert!(list.iter().any(|one| one["namespace"] == fixture.namespace.as_str()), "{list:?}");

    // A third pod is not scheduled.
    drop(kubelet);
    fixture.merge(json!({"spec": {"replicas": 3}})).await;
    wait::until("the third pod", async || {
        let text = printed(&plugin(&fixture, &["status", NAME]));
        wait::check(text.contains("the scheduler"), text)
    })
    .await;
    kubelet::set_ready(fixture.client.clone(), &fixture.namespace, SERVERS, false).await;
    let text = printed(&plugin(&fixture, &["status", NAME]));
    assert!(text.contains("its readiness probe"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_quota_that_refuses_pods_and_watches() {
    let fixture = Fixture::new("plugin-watch").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let mut watching = fixture.control_plane.plugin();
    let file = fixture.control_plane.folder().join("plugin-watch.txt");
    let shell = format!(
        "exec {} --kubeconfig \"$1\" --namespace {} status {NAME} --watch >{}",
        programs::kubectl_latchkey().display(),
        fixture.namespace,
        file.display()
    );
    let kubeconfig = watching.get_args().nth(1).expect("a kubeconfig").to_owned();
    watching = Command::new("sh");
    watching.args(["-c", &shell, "sh"]).arg(kubeconfig);
    let _watching = Process::start(&watching, OnParentDeath::Kill);
    let shown = || std::fs::read_to_string(&file).unwrap_or_default();
    wait::until("the first status", async || wait::check(shown().contains("1 of 1 replicas"), shown())).await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": fixture.namespace}, "spec": {"hard": {"pods": "0"}}});
    latchkey_tests::control_plane::apply(&fixture.client, &quota).await;
    set_quota(&fixture, &json!({"hard": {"pods": "0"}, "used": {"pods": "0"}})).await;
    fixture.merge(json!({"spec": {"replicas": 2}})).await;
    wait::until("the quota in the watched status", async || {
        let text = shown();
        wait::check(text.contains("Pods are not created") && text.contains("exceeded quota: full"), text)
    })
    .await;
}

/// The controller that would set the status of a quota does not run.
pub async fn set_quota(fixture: &Fixture, status: &Value) {
    let api = fixture.api::<k8s_openapi::api::core::v1::ResourceQuota>();
    let patch = kube::api::Patch::Merge(json!({ "status": status }));
    api.patch_status("full", &kube::api::PatchParams::default(), &patch)
        .await
        .expect("the status of the quota");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_revoked_after_a_confirmation() {
    let fixture = Fixture::new("plugin-keys").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    fixture.apply(json!({"tokens": {"keyRotation": {"jwksCacheTime": "1s"}}})).await;
    let keys = async || {
        let secret = fixture.api::<Secret>().get("auth-jwt-keys").await.expect("the Secret");
        serde_json::from_slice::<Value>(&secret.data.expect("data")["keys.json"].0).expect("JSON")
    };
    wait_for(fixture.api::<Secret>(), "auth-jwt-keys", |secret| {
        secret.map(|_| ()).ok_or("no Secret".to_owned())
    })
    .await;
    fixture.servers.answer(with_keys(&keys().await));
    fixture.wait_for_condition("Ready", "True").await;
    fixture.touch().await;
    fixture.wait_for_reason("KeysReady", "True", "Loaded").await;

    // Standard input is no terminal.
    assert_fails(&plugin(&fixture, &["rotate-keys", NAME]), 1, &["Rotate the signing keys", "--yes"]);
    assert_fails(&plugin(&fixture, &["revoke-keys", NAME]), 1, &["every user has to log in again", "--yes"]);
    let annotations = fixture.auth_service().await.metadata.annotations.unwrap_or_default();
    assert!(!annotations.contains_key("latchkey.dev/rotate-keys"), "{annotations:?}");

    let first = keys().await["keys"][0]["kid"].as_str().expect("a kid").to_owned();
    let waiting = std::thread::spawn({
        let mut plugin = fixture.control_plane.plugin();
        plugin.args([
            "--namespace",
            &fixture.namespace,
            "rotate-keys",
            NAME,
            "--yes",
            "--wait",
            "--timeout",
            "2m",
        ]);
        move || run(&mut plugin)
    });
    // The servers load what the operator publishes.
    wait::until("the new key to sign", async || {
        fixture.servers.answer(with_keys(&keys().await));
        fixture.touch().await;
        wait::check(waiting.is_finished(), "the plugin waits")
    })
    .await;
    let output = waiting.join().expect("the plugin");
    let text = printed(&output);
    for word in ["rotate-keys requested", "is published", "signs", &format!("{first} is retiring")] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let service: AuthService = fixture.auth_service().await;
    let status = service.status.expect("a status");
    assert!(status.signing_keys.iter().any(|key| key.kid != first), "{status:?}");

    let output = plugin(&fixture, &["revoke-keys", NAME, "--yes"]);
    assert!(printed(&output).contains("revoke-keys requested"));
    wait_for(fixture.api::<AuthService>(), NAME, |service| {
        let status = service.and_then(|service| service.status.as_ref()).ok_or("no status")?;
        let is_handled = status.key_requests.contains_key("revoke-keys");
        is_handled.then_some(()).ok_or_else(|| format!("{status:?}"))
    })
    .await;
    // Nothing answers a second rotation in time.
    fixture.merge(json!({"spec": {"paused": true}})).await;
    let late = plugin(&fixture, &["rotate-keys", NAME, "--yes", "--wait", "--timeout", "1s"]);
    assert_fails(&late, 5, &["does not sign after 1 seconds", "paused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_what_is_missing_and_have_their_own_exit_status() {
    let fixture = Fixture::new("plugin-errors").await;
    fixture.apply(json!({})).await;
    for command in [
        &["status", "other"][..],
        &["rotate-keys", "other", "--yes"],
        &["logs", "other"],
        &["check", "other"],
        &["sessions", "end-all", "other", "--yes"],
        &["support-bundle", "other"],
    ] {
        assert_fails(&plugin(&fixture, command), 4, &["no AuthService other", "it has auth"]);
    }
    let nowhere = run(fixture.control_plane.plugin().args(["-n", "nowhere", "status", "auth"]));
    assert_fails(&nowhere, 4, &["the namespace nowhere has no AuthService auth: it has none", "-n"]);
    assert_fails(
        &plugin(&fixture, &["status", NAME, "--context", "wrong"]),
        3,
        &["wrong", "its contexts are tests"],
    );
    assert_fails(&plugin(&fixture, &["status", NAME, "--nonsense"]), 2, &["--nonsense"]);
    assert_fails(
        &plugin(&fixture, &["users", "import", NAME, "/nonexistent.json"]),
        1,
        &["/nonexistent.json"],
    );
    assert_fails(&plugin(&fixture, &["sessions", "end-all", NAME]), 1, &["--yes"]);
    assert_fails(&plugin(&fixture, &["sessions", "end-all", NAME, "--yes"]), 1, &["no running server pod"]);
    assert_fails(&plugin(&fixture, &["logs", NAME]), 1, &["no such pods"]);
    let forbidden = ["status", NAME, "--as", "nobody"];
    assert_fails(&plugin(&fixture, &forbidden), 1, &["nobody", "cannot get resource"]);

    let mut alone = Command::new(programs::kubectl_latchkey());
    alone.args(["status", "--kubeconfig", "/nonexistent"]);
    assert_fails(&run(&mut alone), 3, &["/nonexistent", "--kubeconfig"]);
    let closed = fixture.control_plane.write_kubeconfig_through("closed", "token", 1);
    let mut closed_port = Command::new(programs::kubectl_latchkey());
    closed_port.args(["status", "--kubeconfig"]).arg(closed);
    assert_fails(&run(&mut closed_port), 3, &["the API server does not answer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_the_definition_is_reported_as_such() {
    let control_plane = ControlPlane::start(Contents { crds: &[], controllers: &[] }).await;
    for command in
        [&["status"][..], &["status", "auth"], &["logs", "auth"], &["support-bundle", "-o", "/tmp/x.tar.gz"]]
    {
        assert_fails(&run(control_plane.plugin().args(command)), 3, &["no kind AuthService", "helm install"]);
    }
    let manifest = programs::workspace().join("docs/samples/smallest.yaml");
    assert_fails(
        &run(control_plane.plugin().args(["check", "-f"]).arg(manifest)),
        3,
        &["no kind AuthService"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_completed_as_kubectl_asks_for_it() {
    let fixture = Fixture::new("plugin-completion").await;
    fixture.apply(json!({})).await;
    let complete = |words: &[&str]| printed(&plugin(&fixture, &[&["__complete", "--"], words].concat()));
    assert_eq!(complete(&["status", ""]), "auth\n:4\n");
    assert_eq!(complete(&["rot"]), "rotate-keys\n:4\n");
    assert_eq!(complete(&["users", "import", "auth", ""]), ":0\n");
    let script = printed(&plugin(&fixture, &["completion"]));
    assert!(script.starts_with("#!/bin/sh\n"), "{script}");
}

//! `kubectl latchkey logs` on a real API server, which forwards its requests to a simulated kubelet.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use latchkey_tests::kubelet::{SERVERS, set_status};
use latchkey_tests::kubelet_logs::LogNode;
use latchkey_tests::process::{OnParentDeath, Process};
use latchkey_tests::{programs, wait};
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::plugin::{plugin, printed};

async fn server_pods(fixture: &Fixture, count: usize) -> Vec<Pod> {
    wait::until("the server's pods", async || {
        let pods = fixture.api::<Pod>().list(&ListParams::default().labels(SERVERS)).await;
        let pods = pods.expect("pods").items;
        let running =
            |pod: &&Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        if pods.iter().filter(running).count() == count { Ok(pods) } else { Err(pods.len()) }
    })
    .await
}

/// Sets the state of the server's container.
async fn set_container(fixture: &Fixture, pod: &str, restarts: i32, state: Value) {
    let exited = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    let status = json!({"containerStatuses": [{
        "name": "server", "image": "x", "imageID": "x", "ready": true, "restartCount": restarts, "state": state,
        "lastState": if restarts > 0 { exited } else { json!({}) },
    }]});
    set_status(&fixture.api::<Pod>(), pod, &status).await.expect("the status of the pod");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_replicas_are_followed_through_restarts_and_lost_connections_until_an_interrupt() {
    let fixture = Fixture::new("plugin-logs").await;
    let _kubelet = fixture.start_kubelet();
    let _operator = fixture.start_operator().await;
    let node = LogNode::start(fixture.client.clone(), "node-plugin-logs").await;
    fixture.apply(json!({"replicas": 2})).await;
    fixture.wait_for_condition("Ready", "True").await;
    let pods = server_pods(&fixture, 2).await;
    for pod in &pods {
        node.bind(pod).await;
    }
    let [one, other] = [0, 1].map(|index| pods[index].name_any());
    let running = || json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    for pod in [&one, &other] {
        set_container(&fixture, pod, 0, running()).await;
    }
    node.write(&one, "first");
    node.write(&other, "second");
    node.write(&one, "third");

    let merged = printed(&plugin(&fixture, &["logs", NAME]));
    assert_eq!(merged, format!("{one} first\n{other} second\n{one} third\n"));

    let file = fixture.control_plane.folder().join("plugin-logs.txt");
    let kubeconfig = fixture.control_plane.plugin().get_args().nth(1).expect("a kubeconfig").to_owned();
    let shell = format!(
        // Processes that a shell runs in the background inherit that they ignore an interrupt.
        "exec env --default-signal=INT {} --kubeconfig \"$1\" --namespace {} logs {NAME} --follow >{}",
        programs::kubectl_latchkey().display(),
        fixture.namespace,
        file.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &shell, "sh"]).arg(kubeconfig);
    let mut following = Process::start(&command, OnParentDeath::Kill);
    let wait_for_line = async |pod: &str, text: &str| {
        let line = format!("{pod} {text}");
        wait::until(&format!("the line {line:?}"), async || {
            let shown = std::fs::read_to_string(&file).unwrap_or_default();
            wait::check(shown.lines().any(|shown| shown == line), shown)
        })
        .await;
    };
    wait_for_line(&one, "third").await;
    wait_for_line(&other, "second").await;
    node.write(&other, "while it follows");
    wait_for_line(&other, "while it follows").await;

    // The container waits for its next start before it starts.
    node.restart(&one);
    set_container(&fixture, &one, 0, json!({"waiting": {"reason": "CrashLoopBackOff"}})).await;
    node.write(&one, "after the restart");
    set_container(&fixture, &one, 1, running()).await;
    wait_for_line(&one, "after the restart").await;

    node.cut(&other);
    node.write(&other, "after the lost connection");
    wait_for_line(&other, "after the lost connection").await;

    fixture.merge(json!({"spec": {"replicas": 3}})).await;
    let third = server_pods(&fixture, 3)
        .await
        .into_iter()
        .find(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()));
    let third = third.expect("a pod without a node");
    node.bind(&third).await;
    node.write(&third.name_any(), "of a new replica");
    wait_for_line(&third.name_any(), "of a new replica").await;

    assert!(following.is_running(), "{:?}", following.stderr.all());
    following.signal("INT");
    assert_eq!(following.wait().signal(), Some(2));
    let shown = std::fs::read_to_string(&file).expect("the output");
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    let count = lines.len();
    lines.dedup();
    assert_eq!(count, lines.len(), "a line is repeated: {shown}");
    assert_eq!(count, 7, "{shown}");
}

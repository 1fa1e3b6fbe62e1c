//! Runs a command of the server in one of its pods, by `kubectl exec`.
//!
//! kubectl is there, because it runs this plugin. It ends the standard input of the command properly and works with every
//! proxy and API server that the user's kubectl works with.

use std::ffi::OsString;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::process::{Child, Command};

use crate::cli::Component;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::{Printer, printable};
use crate::pods::{self, SERVER_CONTAINER};

const CHECK_TIMEOUT: Duration = Duration::from_mins(1);

/// Starts `latchkey-server` with these arguments in a pod of the AuthService.
pub async fn start(
    cluster: &Cluster,
    name: &str,
    arguments: &[OsString],
    (stdin, stdout): (Stdio, Stdio),
    printer: &Printer,
) -> Result<Child, Failure> {
    cluster.auth_service_as_stored(name).await?;
    let pod = choose_pod(cluster, name).await?;
    printer.note(&format!("in the pod {pod}:"));
    let mut kubectl = Command::new("kubectl");
    kubectl.args(cluster.kubectl_options()).arg("exec").arg("--stdin").arg(&pod);
    kubectl.args(["--container", SERVER_CONTAINER, "--", "latchkey-server"]).args(arguments);
    kubectl.stdin(stdin).stdout(stdout).kill_on_drop(true);
    kubectl.spawn().map_err(|error| Failure::Failed(format!("kubectl cannot be started: {error}")))
}

/// The exit status of a command that was started.
pub async fn exit_code(mut child: Child) -> Result<ExitCode, Failure> {
    let status = child.wait().await;
    let status =
        status.map_err(|error| Failure::Failed(format!("kubectl exec cannot be awaited: {error}")))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map(ExitCode::from).ok_or_else(|| Failure::Failed(format!("kubectl exec ended by {status}")))
}

/// The result of `latchkey-server check` in a pod: `None` if no pod runs, otherwise whether it succeeded. An error says
/// whether the command ran.
pub async fn check(cluster: &Cluster, name: &str) -> Option<Result<(), (bool, String)>> {
    let pod = choose_pod(cluster, name).await.ok()?;
    let mut kubectl = Command::new("kubectl");
    kubectl.args(cluster.kubectl_options()).arg("exec").arg(&pod).arg("--container").arg(SERVER_CONTAINER);
    kubectl.args(["--", "latchkey-server", "check"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(CHECK_TIMEOUT, kubectl.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Some(Err((false, format!("kubectl cannot be started: {error}")))),
        Err(_) => return Some(Err((false, format!("no result within {} s", CHECK_TIMEOUT.as_secs())))),
    };
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let ran = text.contains("command terminated with exit code");
    Some(if output.status.success() { Ok(()) } else { Err((ran, printable(&text))) })
}

/// A pod whose server runs: a ready one if there is one.
async fn choose_pod(cluster: &Cluster, name: &str) -> Result<String, Failure> {
    let labels = pods::selector_of(name, Component::Server);
    let found: Vec<Pod> =
        cluster.list(&labels).await.map_err(|error| Failure::of_request("list the server's pods", &error))?;
    let running = |pod: &&Pod| pods::phase(pod) == "Running" && pod.metadata.deletion_timestamp.is_none();
    let chosen = found.iter().find(|pod| pods::is_ready(pod)).or_else(|| found.iter().find(running));
    chosen.map(ResourceExt::name_any).ok_or_else(|| {
        let waiting = found.iter().map(|pod| {
            let what = pods::waits_for(pod).unwrap_or_default();
            format!("; {} waits for {}", pod.name_any(), printable(&what))
        });
        Failure::Failed(format!("{name} has no running server pod{}", waiting.collect::<String>()))
    })
}

//! The operator as a process, with exactly the rights and arguments that the chart gives it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, apply};
use crate::link::Link;
use crate::process::{Memory, OnParentDeath, Process, free_port};
use crate::server::{Variables, shift_clock};
use crate::{chart, programs, wait};

/// The installed chart without the Deployment: the tests start its process themselves.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The namespace of the release, which contains the Lease.
    pub namespace: String,
    /// The user name of the operator at the API server.
    pub user: String,
    kubeconfig: PathBuf,
    token: String,
    arguments: Vec<String>,
    variables: Variables,
}

impl Installation {
    /// Creates the namespace, the account and the permissions that the chart renders with these values.
    ///
    /// # Panics
    /// When the chart does not render or the API server refuses the result.
    pub async fn new(control_plane: &ControlPlane, namespace: &str, values: &[&str]) -> Self {
        let client = control_plane.client().await;
        apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
            .await;
        let mut values = values.to_vec();
        values.push("crds.install=false");
        let objects = chart::render("latchkey", namespace, &values);
        for object in &objects {
            if is_account_or_right(object) {
                apply(&client, object).await;
            }
        }
        let deployments = chart::of_kind(&objects, "Deployment");
        let pod = &deployments.first().expect("the chart has a Deployment")["spec"]["template"]["spec"];
        let account = pod["serviceAccountName"].as_str().expect("the pod names an account");
        let token = request_token(client, namespace, account).await;
        Self {
            namespace: namespace.to_owned(),
            user: format!("system:serviceaccount:{namespace}:{account}"),
            kubeconfig: control_plane.write_kubeconfig(namespace, &token),
            token,
            arguments: arguments(&pod["containers"][0]),
            variables: Variables::new(),
        }
    }

    /// The same installation, whose operators connect to the API server through a proxy.
    #[must_use]
    pub fn through(&self, control_plane: &ControlPlane, link: &Link) -> Self {
        let name = format!("{}-{}", self.namespace, link.port());
        let kubeconfig = control_plane.write_kubeconfig_through(&name, &self.token, link.port());
        Self { kubeconfig, ..self.clone() }
    }

    /// The same, whose operators connect to this address without TLS, where a proxy listens.
    #[must_use]
    pub fn through_plain(&self, control_plane: &ControlPlane, name: &str, server: &str) -> Self {
        let kubeconfig = control_plane.write_kubeconfig_to(name, &self.token, server);
        Self { kubeconfig, ..self.clone() }
    }

    /// The same, whose operators have a clock that differs by `offset`, such as `-2h`.
    #[must_use]
    pub fn with_clock(&self, offset: &str) -> Self {
        let mut installation = self.clone();
        shift_clock(&mut installation.variables, offset);
        installation
    }

    /// The kubeconfig of its operators.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Starts one operator pod of this installation.
    pub fn start(&self, pod_name: &str) -> Operator {
        self.start_with(pod_name, &[])
    }

    /// The same with other arguments (`--name=value`) instead of those of the chart.
    pub fn start_with(&self, pod_name: &str, arguments: &[&str]) -> Operator {
        let name = |argument: &str| argument.split('=').next().unwrap_or_default().to_owned();
        let kept = |given: &&String| arguments.iter().all(|argument| name(argument) != name(given));

        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(programs::latchkey_operator());
        command
            .args(self.arguments.iter().filter(kept))
            .args(arguments)
            .arg(format!("--listen-addr={address}"))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("POD_NAME", pod_name)
            .env("POD_NAMESPACE", &self.namespace)
            .envs(&self.variables);
        Operator { process: Process::start(&command, OnParentDeath::Kill), address }
    }
}

/// A running operator. Dropping it kills it, and prints its log if the test has failed.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    address: String,
}

impl Operator {
    /// Its process id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// How much memory it takes.
    pub fn memory(&self) -> Memory {
        self.process.memory()
    }

    /// The CPU seconds that it has used.
    pub fn processor_seconds(&self) -> f64 {
        self.process.processor_seconds()
    }

    /// Suspends it (SIGSTOP), until [`Operator::resume`].
    pub fn pause(&self) {
        self.process.signal("STOP");
    }

    /// Resumes it (SIGCONT).
    pub fn resume(&self) {
        self.process.signal("CONT");
    }

    /// Waits until it exits.
    ///
    /// # Panics
    /// When it does not exit in time.
    pub fn wait_until_ended(&mut self) {
        self.process.wait();
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Terminates it (SIGTERM) and waits until it exits.
    ///
    /// # Panics
    /// When it does not exit successfully.
    pub fn terminate(&mut self) {
        self.process.terminate();
        let status = self.process.wait();
        assert!(status.success(), "the operator ended with {status}: {}", self.log());
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.stderr.all().join("\n")
    }

    /// Waits until `/readyz` succeeds.
    ///
    /// # Panics
    /// When it exits instead, or is not ready in time.
    pub async fn wait_until_ready(&mut self) {
        let address = self.address.clone();
        let process = RefCell::new(&mut self.process);
        wait::until("the operator to be ready", async || {
            assert_running(&mut process.borrow_mut());
            get(&address, "/readyz").await
        })
        .await;
    }

    /// Waits until it has ended more than this number of reconciles.
    pub async fn wait_for_reconciles(&self, more_than: f64) {
        wait::until(&format!("more than {more_than} reconciles"), async || {
            let ended = self.metric("latchkey_operator_reconcile_total", &[]).await;
            wait::check(ended > more_than, ended)
        })
        .await;
    }

    /// The address of health and metrics.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The response for a path of its health and metrics port; an error for any status but 200.
    ///
    /// # Errors
    /// The status, or why there is no response.
    pub async fn get(&self, path: &str) -> Result<String, String> {
        get(&self.address, path).await
    }

    /// The sum of a metric over the lines whose labels contain all of `labels`, each as `name="value"`.
    ///
    /// # Panics
    /// When it does not serve metrics.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.get("/metrics").await.expect("metrics");
        text.lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.process.kill();
            #[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
            {
                eprintln!("--- log of the operator at {}:\n{}", self.address, self.log());
            }
        }
    }
}

fn assert_running(process: &mut Process) {
    assert!(process.is_running(), "the operator ended: {}", process.stderr.all().join("\n"));
}

async fn get(address: &str, path: &str) -> Result<String, String> {
    let request =
        reqwest::Client::new().get(format!("http://{address}{path}")).timeout(Duration::from_secs(5));
    let answer = request.send().await.map_err(|e| e.to_string())?;
    let answer = answer.error_for_status().map_err(|e| e.to_string())?;
    answer.text().await.map_err(|e| e.to_string())
}

fn is_account_or_right(object: &Value) -> bool {
    matches!(
        object["kind"].as_str(),
        Some("ServiceAccount" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding")
    )
}

/// The arguments of the chart, except for the port, which is the same in every pod.
fn arguments(container: &Value) -> Vec<String> {
    let given = container["args"].as_array().expect("the container has arguments");
    let given = given.iter().map(|argument| argument.as_str().expect("a text").to_owned());
    given.filter(|argument| !argument.starts_with("--listen-addr=")).collect()
}

async fn request_token(client: Client, namespace: &str, account: &str) -> String {
    let api: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
    let answer = api.create_token_request(account, &PostParams::default(), &request).await;
    answer
        .expect("a token for the operator")
        .status
        .and_then(|status| status.token)
        .expect("a token in the answer")
}

//! A Kubernetes API without nodes: etcd, kube-apiserver and kube-controller-manager on free ports of
//! 127.0.0.1. Objects are validated, authorized and garbage-collected as in a cluster, and controllers create pods,
//! but nothing runs them.

mod processes;
mod restart;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::sync::OnceCell;

use crate::audit::AuditLog;
use crate::process::{OnParentDeath, Process, build, free_port, run_ok};
use crate::{programs, scratch, wait};

use processes::{AUTHENTICATION_FILE, start_api_server, start_etcd, write_api_server_files};
pub use restart::Part;

/// The user of the tests.
pub const TEST_USER: &str = "tests";
const CONTROLLER_MANAGER_USER: &str = "kube-controller-manager";

/// Field manager of all objects that the tests apply.
pub const FIELD_MANAGER: &str = "tests";

/// The controllers that the tests need. The garbage collector discovers new kinds only twice a minute, so that it
/// starts after the CRDs exist.
pub const CONTROLLERS: [&str; 12] = [
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "job-controller",
    "namespace-controller",
    "persistentvolumeclaim-protection-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
    "statefulset-controller",
];

/// The deadline of the start of its API server, beside all programs that other tests start.
const START: Duration = Duration::from_mins(2);

/// A running control plane. Dropping it stops its processes.
#[derive(Debug)]
pub struct ControlPlane {
    folder: PathBuf,
    port: u16,
    etcd_port: u16,
    token: String,
    /// The requests to the API server, with their users; of reads only those of Secrets by service accounts.
    pub audit: AuditLog,
    processes: Vec<Process>,
    controllers: Option<Process>,
}

/// The configuration of a control plane.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// YAML files with the CustomResourceDefinitions to install at the start.
    pub crds: &'a [PathBuf],
    /// The controllers of kube-controller-manager to run, if any; those that tests need are [`CONTROLLERS`].
    pub controllers: &'a [&'a str],
}

impl ControlPlane {
    /// The control plane that the tests of this process share: with the CRDs of `AuthService`, `AuthClient` and all optional
    /// kinds, and with controllers. The first caller starts it.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                let crds = [vec![auth_service_crd(), auth_client_crd()], optional_crds()].concat();
                Self::start(Contents { crds: &crds, controllers: &CONTROLLERS }).await
            })
            .await
    }

    /// Starts a separate control plane.
    ///
    /// # Panics
    /// When a part of it does not start; the message ends with that part's last output.
    pub async fn start(contents: Contents<'_>) -> Self {
        Self::start_in(scratch::folder("control-plane"), contents).await
    }

    /// Starts a separate control plane whose API server also accepts the users of this AuthenticationConfiguration
    /// (`apiserver.config.k8s.io`).
    ///
    /// # Panics
    /// As [`ControlPlane::start`].
    pub async fn start_authenticating(contents: Contents<'_>, configuration: &str) -> Self {
        let folder = scratch::folder("control-plane");
        fs::write(folder.join(AUTHENTICATION_FILE), configuration).expect("the configuration is written");
        Self::start_in(folder, contents).await
    }

    async fn start_in(folder: PathBuf, contents: Contents<'_>) -> Self {
        let (etcd_port, api_port) = (free_port(), free_port());
        let token = format!("{:032x}", uuid::Uuid::new_v4().as_u128());
        write_api_server_files(&folder, &token);
        let processes = vec![start_etcd(&folder, etcd_port), start_api_server(&folder, api_port, etcd_port)];
        let mut control_plane = Self {
            port: api_port,
            etcd_port,
            audit: AuditLog::new(folder.join("audit.log")),
            folder,
            token,
            processes,
            controllers: None,
        };
        control_plane.wait_until_ready().await;
        for crd in contents.crds {
            control_plane.apply_crd(crd).await;
        }
        if !contents.controllers.is_empty() {
            control_plane.start_controller_manager(contents.controllers);
        }
        control_plane
    }

    /// Starts these controllers, if the control plane was started without: the garbage collector discovers new kinds
    /// only twice a minute, so that the definitions come first.
    pub fn start_controllers(&mut self, controllers: &[&str]) {
        self.start_controller_manager(controllers);
    }

    /// A client with all permissions. It belongs to the runtime in which it is created, so that each test creates its
    /// own.
    ///
    /// # Panics
    /// When the kubeconfig just written cannot be read.
    pub async fn client(&self) -> Client {
        self.client_with_token(&self.token).await
    }

    /// A client that authenticates with this token.
    ///
    /// # Panics
    /// As [`ControlPlane::client`].
    pub async fn client_with_token(&self, token: &str) -> Client {
        let config =
            Kubeconfig::from_yaml(&self.kubeconfig_text(token, &self.server())).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
        Client::try_from(config.expect("a configuration")).expect("a client")
    }

    /// Writes a kubeconfig for this token and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        self.write_kubeconfig_through(name, token, self.port)
    }

    /// The same through another port of this machine, on which a proxy forwards the connection.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_kubeconfig_through(&self, name: &str, token: &str, port: u16) -> PathBuf {
        self.write_kubeconfig_to(name, token, &format!("https://127.0.0.1:{port}"))
    }

    /// The same for another address, which may be without TLS.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_kubeconfig_to(&self, name: &str, token: &str, server: &str) -> PathBuf {
        let path = self.folder.join(format!("{name}.kubeconfig"));
        // Renamed into place, because a program of another test may be reading the file.
        let mut file = NamedTempFile::new_in(&self.folder).expect("a temporary file");
        file.write_all(self.kubeconfig_text(token, server).as_bytes()).expect("a kubeconfig is written");
        file.persist(&path).expect("a kubeconfig is renamed");
        path
    }

    /// The port of the API server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A folder for files that belong to this control plane, such as logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs kubectl with all permissions and returns its output.
    ///
    /// # Panics
    /// When kubectl fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        run_ok(self.program("kubectl").args(arguments))
    }

    /// kubectl or helm with all permissions; the caller adds the arguments.
    pub fn program(&self, name: &str) -> Command {
        let kubeconfig = self.write_kubeconfig(name, &self.token);
        let mut command = Command::new(programs::test_bed(name));
        command.arg("--kubeconfig").arg(kubeconfig);
        command
    }

    /// `kubectl latchkey` with all permissions; the caller adds the arguments.
    pub fn plugin(&self) -> Command {
        let kubeconfig = self.write_kubeconfig("plugin", &self.token);
        let mut command = Command::new(programs::kubectl_latchkey());
        command.arg("--kubeconfig").arg(kubeconfig).env_remove("NO_COLOR");
        command
    }

    /// Applies a CustomResourceDefinition and waits until it is served.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn apply_crd(&self, file: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let crd: Value = serde_yaml_ng::from_str(&text).expect("a CRD in YAML");
        let client = self.client().await;
        let name = apply(&client, &crd).await.metadata.name.expect("a name");
        let api: Api<CustomResourceDefinition> = Api::all(client);
        wait::until("the CRD to be established", async || {
            let crd = api.get(&name).await.map_err(|e| e.to_string())?;
            let conditions = crd.status.and_then(|status| status.conditions).unwrap_or_default();
            let established = conditions.iter().any(|c| c.type_ == "Established" && c.status == "True");
            wait::check(established, format!("{conditions:?}"))
        })
        .await;
    }

    async fn wait_until_ready(&self) {
        let readiness = async || self.readiness().await;
        wait::until_within(START, Duration::from_millis(50), "the API server to be ready", readiness).await;
    }

    async fn readiness(&self) -> Result<String, String> {
        if !self.certificate().exists() {
            return Err(format!("no certificate yet; {}", self.last_output()));
        }
        let client = self.client().await;
        client.request_text(http_get("/readyz")).await.map_err(|e| format!("{e}; {}", self.last_output()))
    }

    /// The end of the output of each process.
    fn last_output(&self) -> String {
        let ends = self.processes.iter().map(|process| {
            let lines = process.stderr.all();
            lines[lines.len().saturating_sub(5)..].join("\n")
        });
        ends.collect::<Vec<_>>().join("\n")
    }

    /// The API server generates a certificate and signs it with an authority that it stores next to it.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificates/apiserver.crt")
    }

    fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn kubeconfig_text(&self, token: &str, server: &str) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": {
                "server": server,
                "certificate-authority": self.certificate(),
            }}],
            "users": [{"name": "tests", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "current-context": "tests",
        })
        .to_string()
    }

    /// The CPU seconds that etcd, the API server and the controllers have used, in this order.
    pub fn processor_seconds(&self) -> Vec<f64> {
        self.processes.iter().chain(&self.controllers).map(Process::processor_seconds).collect()
    }

    /// Stops the controllers: from then on only the tests and their processes send requests to the API server.
    pub fn stop_controllers(&mut self) {
        if let Some(mut controllers) = self.controllers.take() {
            controllers.kill();
        }
    }

    fn start_controller_manager(&mut self, controllers: &[&str]) {
        let kubeconfig = self
            .write_kubeconfig(CONTROLLER_MANAGER_USER, &format!("{CONTROLLER_MANAGER_USER}-{}", self.token));
        let mut command = Command::new(programs::control_plane("kube-controller-manager"));
        command
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--controllers={}", controllers.join(",")))
            .args(["--leader-elect=false", "--secure-port=0"])
            // The default of 20 requests per second is for clusters with a hundred other clients.
            .args(["--kube-api-qps=500", "--kube-api-burst=1000"])
            // The default interval of the autoscaler is fifteen seconds.
            .arg("--horizontal-pod-autoscaler-sync-period=2s");
        self.controllers = Some(Process::start(&command, OnParentDeath::Kill));
    }
}

/// The CRD as committed and shipped.
pub fn auth_service_crd() -> PathBuf {
    programs::workspace().join("crds/auth_service.yaml")
}

/// The CRD of the OAuth clients.
pub fn auth_client_crd() -> PathBuf {
    programs::workspace().join("crds/auth_client.yaml")
}

/// The third-party CRDs that the tests use: ServiceMonitor first, PrometheusRule (the chart's), HTTPRoute,
/// Certificate, Route, BackendTLSPolicy.
pub fn optional_crds() -> Vec<PathBuf> {
    let paths = build(&mut Command::new(programs::workspace().join("tests/cluster/crds")));
    paths.lines().map(PathBuf::from).collect()
}

/// The third-party CRDs that only `docs/samples` uses.
pub fn sample_crds() -> Vec<PathBuf> {
    let crds = programs::workspace().join("tests/cluster/crds");
    build(Command::new(crds).arg("samples")).lines().map(PathBuf::from).collect()
}

/// The CRDs of Istio, in one file.
pub fn istio_crds() -> PathBuf {
    let crds = programs::workspace().join("tests/cluster/crds");
    PathBuf::from(build(Command::new(crds).arg("istio")).trim())
}

/// The CRD of the Prometheus Operator's ServiceMonitor.
pub fn service_monitor_crd() -> PathBuf {
    optional_crds().swap_remove(0)
}

/// Applies any object, like `kubectl apply --server-side --force-conflicts`.
///
/// # Panics
/// When the API server refuses it.
pub async fn apply(client: &Client, object: &Value) -> DynamicObject {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str);
    let (version, kind) = (text("/apiVersion").expect("apiVersion"), text("/kind").expect("kind"));
    let name = text("/metadata/name").expect("metadata.name");
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object))
        .await
        .unwrap_or_else(|e| panic!("{kind} {name} was refused: {e}"))
}

fn http_get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).body(Vec::new()).expect("a request")
}

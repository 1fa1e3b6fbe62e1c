//! The fixture of each test: a separate namespace, in which the operator of the release reconciles.

use std::process::{Command, Stdio};
use std::time::Instant;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use latchkey_crds::{AuthService, conditions};
use latchkey_tests::cluster::{Cluster, note};
use latchkey_tests::control_plane::{FIELD_MANAGER, apply};
use latchkey_tests::process::{run, run_ok};
use serde_json::{Value, json};

use crate::release::{self, Held};
use crate::waiting::wait_for;

/// The name of the AuthService in every test.
pub const NAME: &str = "auth";

/// Selects the server's pods.
pub const SERVER_PODS: &str = "app.kubernetes.io/instance=auth,app.kubernetes.io/component=server";

/// A namespace. It is deleted after the test; if the test fails, it remains and is described.
pub struct Namespace {
    pub cluster: &'static Cluster,
    pub client: Client,
    pub name: String,
    _release: Held,
}

impl Namespace {
    /// Creates it, after installing the release if it is missing.
    pub async fn new(theme: &str) -> Self {
        let release = release::hold().await;
        let cluster = Cluster::shared();
        let client = cluster.client().await;
        let name = format!("e2e-{theme}");
        release::create_namespace(&client, &name).await;
        Self { cluster, client, name, _release: release }
    }

    /// The objects of one kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Applies any object in the namespace.
    pub async fn apply(&self, mut object: Value) {
        object["metadata"]["namespace"] = json!(self.name);
        apply(&self.client, &object).await;
    }

    /// Creates a Secret, or changes these keys of it.
    pub async fn apply_secret(&self, name: &str, data: &[(&str, &str)]) {
        let data: Value = data.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let metadata = json!({"name": name});
        self.apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}))
            .await;
    }

    /// A key of a Secret.
    pub async fn secret(&self, name: &str, key: &str) -> String {
        let secret = self.api::<Secret>().get(name).await.expect("the Secret");
        let value = secret.data.as_ref().and_then(|data| data.get(key)).expect("the key in the Secret");
        String::from_utf8(value.0.clone()).expect("a text")
    }

    /// Applies the AuthService with this spec, waits until it is Ready, and prints the duration.
    pub async fn bring_up(&self, what: &str, spec: Value) -> AuthService {
        let begun = Instant::now();
        self.apply_auth_service(spec).await;
        let ready = self.wait_until_ready().await;
        note(&format!("apply to Ready, {what}: {:.1} s", begun.elapsed().as_secs_f64()));
        ready
    }

    /// Applies the AuthService with this spec.
    pub async fn apply_auth_service(&self, spec: Value) {
        self.apply(json!({
            "apiVersion": "latchkey.dev/v1alpha1",
            "kind": "AuthService",
            "metadata": {"name": NAME},
            "spec": spec,
        }))
        .await;
    }

    /// Patches the AuthService with a JSON merge patch.
    pub async fn merge(&self, patch: Value) {
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.api::<AuthService>()
            .patch(NAME, &parameters, &Patch::Merge(patch))
            .await
            .expect("the API server accepts the patch");
    }

    /// Waits until the AuthService is Ready for its current generation.
    pub async fn wait_until_ready(&self) -> AuthService {
        let api = self.api::<AuthService>();
        wait_for("Ready", async || {
            let found = api.get(NAME).await.map_err(|e| e.to_string())?;
            let all = found.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
            let ready = all.iter().find(|condition| condition.type_ == conditions::READY);
            let ready = ready.ok_or("no condition Ready yet")?;
            let current = ready.observed_generation == found.metadata.generation;
            if ready.status == "True" && current { Ok(found) } else { Err(format!("{all:#?}")) }
        })
        .await
    }

    /// Waits until a condition of the AuthService has this status.
    pub async fn wait_for_condition(&self, kind: &str, status: &str) {
        let api = self.api::<AuthService>();
        wait_for(&format!("{kind}={status}"), async || {
            let found = api.get(NAME).await.map_err(|e| e.to_string())?;
            let all = found.status.map(|status| status.conditions).unwrap_or_default();
            let condition = all.iter().find(|condition| condition.type_ == kind);
            let holds = condition.is_some_and(|condition| condition.status == status);
            if holds { Ok(()) } else { Err(format!("{condition:?}")) }
        })
        .await;
    }

    /// The server's pods, without those that are being deleted.
    pub async fn server_pods(&self) -> Vec<Pod> {
        let pods = self.api::<Pod>().list(&ListParams::default().labels(SERVER_PODS)).await.expect("pods");
        pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
    }

    /// Waits until there is this number of server pods, all ready and none with a uid in `gone`.
    pub async fn wait_for_server_pods(&self, count: usize, gone: &[String]) -> Vec<Pod> {
        wait_for(&format!("{count} ready server pods"), async || {
            let pods = self.server_pods().await;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            let old = pods.iter().filter(|pod| gone.contains(&pod.uid().unwrap_or_default())).count();
            let holds = pods.len() == count && ready == count && old == 0;
            if holds {
                Ok(pods)
            } else {
                Err(format!("{} pods, {ready} of them ready, {old} old", pods.len()))
            }
        })
        .await
    }

    /// kubectl in this namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        run_ok(self.cluster.kubectl().args(["-n", &self.name]).args(arguments))
    }

    /// The logs of the server's pods.
    pub fn server_log(&self) -> String {
        self.kubectl(&["logs", "-l", SERVER_PODS, "--all-containers", "--tail=-1"])
    }

    /// Deletes the namespace while other tests run. AuthServices and pods are deleted first, because Kubernetes checks
    /// a namespace that is not empty only after the longest grace period in it. Each command has a deadline, because no
    /// test waits for it, and the cluster may end before.
    fn remove_in_background(&self) {
        const SCRIPT: &str = r#"
            "$1" -n "$2" delete authsvc --all --timeout=120s
            "$1" -n "$2" delete pod --all --now --timeout=120s
            "$1" delete namespace "$2" --wait=false"#;
        let kubectl = self.cluster.kubectl();
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "sh"]).arg(kubectl.get_program()).arg(&self.name);
        shell.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // If that fails, the next run deletes the namespace.
        let _ = shell.spawn();
    }

    fn describe(&self) -> String {
        let kubectl = |arguments: &[&str]| {
            let output = run(self.cluster.kubectl().args(["-n", &self.name]).args(arguments));
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        format!(
            "--- objects in the namespace {}:\n{}\n--- its pods:\n{}\n--- their logs:\n{}",
            self.name,
            kubectl(&["get", "authsvc,deployments,statefulsets,jobs,pods,pvc,events", "-o", "wide"]),
            [kubectl(&["describe", "authsvc"]), kubectl(&["describe", "pods"])].concat(),
            kubectl(&[
                "logs",
                "-l",
                "app.kubernetes.io/managed-by=latchkey-operator",
                "--all-containers",
                "--prefix",
                "--tail=40"
            ]),
        )
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
            {
                eprintln!("{}{}", self.describe(), release::describe_operator());
            }
        } else {
            self.remove_in_background();
        }
    }
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The uids, which distinguish pods of the same name.
pub fn uids(pods: &[Pod]) -> Vec<String> {
    pods.iter().filter_map(ResourceExt::uid).collect()
}

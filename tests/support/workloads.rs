//! Namespaces, service accounts and pods of a control plane without nodes, and the projected tokens that a kubelet would
//! mount.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::app::{ISSUER, Setup};
use crate::clients_file::TestClient;
use crate::control_plane::{Contents, ControlPlane, apply};
use crate::process::temporary_folder;

/// A namespace with the service account `auth` of the server, which may create TokenReviews.
pub struct Workloads {
    plane: &'static ControlPlane,
    /// The namespace.
    pub namespace: String,
    folder: TempDir,
}

impl Workloads {
    /// A new namespace in the API that the tests of this process share.
    pub async fn start() -> Self {
        static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
        let plane = PLANE
            .get_or_init(|| async { ControlPlane::start(Contents { crds: &[], controllers: &[] }).await });
        let plane = plane.await;
        let namespace = format!("workloads-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let workloads = Self { plane, folder: temporary_folder("workloads-"), namespace };
        let name = &workloads.namespace;
        workloads
            .apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
            .await;
        workloads.create_service_account("auth").await;
        workloads
            .apply(&json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": { "name": "token-reviews" },
                "rules": [{ "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"] }],
            }))
            .await;
        workloads.permit().await;
        fs::write(workloads.token_file(), workloads.token_of("auth", &["--duration=10m"]))
            .expect("the token of the server");
        workloads
    }

    /// Lets the server create TokenReviews.
    pub async fn permit(&self) {
        let namespace = &self.namespace;
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "token-reviews" },
            "subjects": [{ "kind": "ServiceAccount", "name": "auth", "namespace": namespace }],
        }))
        .await;
    }

    /// Withdraws that.
    pub fn forbid(&self) {
        self.plane.kubectl(&["delete", "clusterrolebinding", &self.namespace]);
    }

    /// The port of the API server.
    pub fn port(&self) -> u16 {
        self.plane.port()
    }

    /// Creates a service account.
    pub async fn create_service_account(&self, name: &str) {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": name, "namespace": self.namespace },
        }))
        .await;
    }

    /// Creates a pod with this service account.
    pub async fn create_pod(&self, name: &str, service_account: &str) {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": self.namespace },
            "spec": {
                "serviceAccountName": service_account,
                "automountServiceAccountToken": false,
                "containers": [{ "name": "main", "image": "example.test/none" }],
            },
        }))
        .await;
    }

    /// Deletes an object and waits until it is gone.
    pub fn delete(&self, kind: &str, name: &str) {
        self.plane.kubectl(&["delete", kind, name, "-n", &self.namespace, "--grace-period=0", "--force"]);
    }

    /// A token of this pod for the issuer, as a kubelet requests it for a projected volume.
    pub fn pod_token(&self, service_account: &str, pod: &str) -> String {
        self.pod_token_with(service_account, pod, &[&format!("--audience={ISSUER}"), "--duration=1h"])
    }

    /// The same with other options of `kubectl create token`.
    pub fn pod_token_with(&self, service_account: &str, pod: &str, options: &[&str]) -> String {
        let bound = [&["--bound-object-kind=Pod", "--bound-object-name", pod][..], options].concat();
        self.token_of(service_account, &bound)
    }

    /// A token of a service account.
    pub fn token_of(&self, service_account: &str, options: &[&str]) -> String {
        let arguments = [&["create", "token", service_account, "-n", &self.namespace][..], options].concat();
        self.plane.kubectl(&arguments).trim().to_owned()
    }

    /// A client with these service accounts of the namespace.
    pub fn client(&self, id: &str, service_accounts: &[&str]) -> TestClient {
        let credential = |name: &&str| json!({ "id": Uuid::new_v4(), "kind": "service_account", "namespace": self.namespace, "name": name });
        let credentials: Vec<_> = service_accounts.iter().map(credential).collect();
        TestClient::new(id, &[]).with("type", "workload").with("credentials", credentials)
    }

    /// A setup whose servers review tokens at this port.
    #[must_use]
    pub fn setup(&self, setup: Setup, port: u16) -> Setup {
        setup
            .set("WORKLOAD_IDENTITY_ENABLED", "true")
            .set("KUBERNETES_API_URL", &format!("https://127.0.0.1:{port}"))
            .set("KUBERNETES_CA_FILE", &self.plane.certificate().display().to_string())
            .set("KUBERNETES_TOKEN_FILE", &self.token_file().display().to_string())
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    async fn apply(&self, object: &Value) {
        apply(&self.plane.client().await, object).await;
    }
}

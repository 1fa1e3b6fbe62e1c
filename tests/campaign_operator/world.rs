//! The control plane that all plans share, and the namespace of one plan.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use latchkey_tests::control_plane::{
    Contents, ControlPlane, FIELD_MANAGER, Part, apply, auth_client_crd, auth_service_crd, optional_crds,
};
use latchkey_tests::kubelet::Kubelet;
use latchkey_tests::operator::{Installation, Operator};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::history::{Entry, History, Permit};
use crate::normal::TOUCHED;
use crate::observer::{Histories, observe, resource};
use crate::proxy::Proxy;
use crate::replicas::{Addresses, Replicas};
use crate::scenario::NAME;

/// Without the autoscaler, which has no metrics here and writes all the time.
const CONTROLLERS: [&str; 9] = [
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "persistentvolumeclaim-protection-controller",
    "replicaset-controller",
    "serviceaccount-controller",
    "statefulset-controller",
];

/// How long a plan waits for the others before an outage.
const OUTAGE_WITHIN: Duration = Duration::from_mins(3);

/// A control plane, a kubelet and an observer.
pub struct World {
    pub client: Client,
    pub control_plane: tokio::sync::Mutex<ControlPlane>,
    pub installation: Installation,
    pub outage: Outage,
    operator_client: Client,
    histories: Histories,
    addresses: Addresses,
    _kubelet: Kubelet,
    _observers: JoinSet<()>,
}

impl World {
    pub async fn start() -> Self {
        let crds: Vec<PathBuf> = [vec![auth_service_crd(), auth_client_crd()], optional_crds()].concat();
        let control_plane = ControlPlane::start(Contents { crds: &crds, controllers: &CONTROLLERS }).await;
        let client = control_plane.client().await;
        let installation = Installation::new(&control_plane, "latchkey-system", &[]).await;
        let operator_client = client_of(installation.kubeconfig()).await;
        let (histories, addresses) = (Histories::default(), Addresses::default());
        let observers = observe(&client, &histories);
        let of_kubelet = addresses.clone();
        let kubelet = Kubelet::start_in_all_namespaces(client.clone(), move |pod| of_kubelet.outcome(pod));
        Self {
            client,
            control_plane: tokio::sync::Mutex::new(control_plane),
            installation,
            outage: Outage::default(),
            operator_client,
            histories,
            addresses,
            _kubelet: kubelet,
            _observers: observers,
        }
    }

    /// A namespace for one plan, without an operator.
    pub async fn namespace(&self) -> Place<'_> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("plan-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let history = self.histories.begin(&name);
        let metadata = json!({"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}});
        apply(&self.client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
        let replicas = Replicas::start(&self.addresses, &name, &history).await;
        let proxy = Proxy::start(self.operator_client.clone()).await;
        let address = format!("http://127.0.0.1:{}", proxy.port);
        let control_plane = self.control_plane.lock().await;
        let installation = self.installation.through_plain(&control_plane, &name, &address);
        Place { world: self, name, history, proxy, installation, _replicas: replicas }
    }
}

/// A crash of the control plane, which all plans with that fault share.
#[derive(Debug)]
pub struct Outage {
    acted: AtomicUsize,
    over: watch::Sender<bool>,
}

impl Default for Outage {
    fn default() -> Self {
        Self { acted: AtomicUsize::new(0), over: watch::Sender::new(false) }
    }
}

impl Outage {
    /// A plan has acted; returns after the outage.
    pub async fn acted(&self) {
        let mut over = self.over.subscribe();
        self.acted.fetch_add(1, Ordering::SeqCst);
        let over = tokio::time::timeout(OUTAGE_WITHIN, over.wait_for(|over| *over)).await;
        assert!(over.is_ok_and(|over| over.is_ok()), "the outage did not end");
    }

    /// Another number of plans may take part in the next one.
    pub fn begin(&self) {
        self.acted.store(0, Ordering::SeqCst);
        self.over.send_replace(false);
    }

    /// Crashes a part of the control plane for two seconds after this number of plans have acted.
    pub async fn cause(&self, world: &World, part: Part, plans: usize) {
        let deadline = Instant::now() + OUTAGE_WITHIN;
        while self.acted.load(Ordering::SeqCst) < plans && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut control_plane = world.control_plane.lock().await;
        control_plane.crash(part);
        tokio::time::sleep(Duration::from_secs(2)).await;
        control_plane.start_again(part).await;
        self.over.send_replace(true);
    }
}

async fn client_of(kubeconfig: &std::path::Path) -> Client {
    let config = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a configuration")).expect("a client")
}

/// The namespace of one plan.
pub struct Place<'a> {
    pub world: &'a World,
    pub name: String,
    pub history: History,
    pub proxy: Proxy,
    pub installation: Installation,
    _replicas: Replicas,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.world.histories.end(&self.name);
    }
}

impl Place<'_> {
    /// Starts an operator for this namespace only. Without leader election, because a new process would wait for the lease
    /// of a killed one.
    pub fn start_operator(&self, arguments: &[&str]) -> Operator {
        self.start_operator_at(None, arguments)
    }

    /// The same with a clock that differs by an offset, such as `-2h`.
    pub fn start_operator_at(&self, offset: Option<&str>, arguments: &[&str]) -> Operator {
        let watch = format!("--watch-namespace={}", self.name);
        let own = [watch.as_str(), "--leader-elect=false"];
        let installation =
            offset.map_or_else(|| self.installation.clone(), |by| self.installation.with_clock(by));
        installation.start_with("operator-0", &[&own, arguments].concat())
    }

    /// Starts an operator with leader election in this namespace.
    pub fn start_electing(&self, pod: &str) -> Operator {
        let watch = format!("--watch-namespace={}", self.name);
        let mut installation = self.installation.clone();
        installation.namespace.clone_from(&self.name);
        installation.start_with(pod, &[&watch, "--leader-elect=true"])
    }

    /// Any object of an observed kind.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.world.client.clone(), &self.name, &resource(kind))
    }

    /// Applies the AuthService with this spec, and waits until the observer has seen it.
    pub async fn apply(&self, spec: &Value) {
        if let Err(error) = self.try_apply(spec).await {
            panic!("the AuthService was refused: {error}");
        }
    }

    /// The same; the request may be refused.
    pub async fn try_apply(&self, spec: &Value) -> Result<(), kube::Error> {
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": NAME}, "spec": spec,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self.api("AuthService").patch(NAME, &parameters, &Patch::Apply(object)).await?;
        self.wait_for_version(&applied).await;
        Ok(())
    }

    /// Applies an AuthClient with this spec, and waits until the observer has seen it.
    pub async fn apply_client(&self, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient", "metadata": {"name": name}, "spec": spec,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self.api("AuthClient").patch(name, &parameters, &Patch::Apply(object)).await;
        let applied = applied.unwrap_or_else(|error| panic!("the AuthClient was refused: {error}"));
        self.wait_for_version(&applied).await;
    }

    /// Merges this into an object, and waits until the observer has seen it.
    pub async fn merge(&self, kind: &str, name: &str, patch: &Value) -> Result<DynamicObject, kube::Error> {
        let parameters = PatchParams { field_manager: Some("someone".to_owned()), ..PatchParams::default() };
        let merged = self.api(kind).patch(name, &parameters, &Patch::Merge(patch)).await?;
        self.wait_for_version(&merged).await;
        Ok(merged)
    }

    /// Annotates the AuthService.
    pub async fn annotate(&self, annotation: &str, value: &str) {
        let patch = json!({"metadata": {"annotations": {annotation: value}}});
        self.merge("AuthService", NAME, &patch).await.expect("the API server accepts the annotation");
    }

    /// Triggers a reconcile.
    pub async fn touch(&self) {
        self.annotate(TOUCHED, &uuid::Uuid::new_v4().to_string()).await;
    }

    /// Writes a Secret that is foreign to the operator.
    pub async fn write_secret(&self, name: &str, data: &Value) {
        self.history
            .add(Entry::Permits(Permit::ForeignWrite { kind: "Secret".to_owned(), name: name.to_owned() }));
        let metadata = json!({"name": name, "namespace": self.name});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        let written = apply(&self.world.client, &secret).await;
        self.wait_for_version(&written).await;
    }

    /// Waits until the observer has seen this version of an object, or a later one.
    pub async fn wait_for_version(&self, object: &DynamicObject) {
        let number: u64 =
            object.metadata.resource_version.as_deref().and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut changes = self.history.changes();
        let seen = changes.wait_for(|newest| *newest >= number);
        let seen = tokio::time::timeout(Duration::from_mins(1), seen).await;
        assert!(
            seen.is_ok_and(|seen| seen.is_ok()),
            "the observer did not see version {number} in {}",
            self.name
        );
    }
}

//! The fixture of each test: a separate namespace that enforces Pod Security `restricted`, an operator with the
//! chart's permissions in that namespace, and a simulated kubelet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU8, Ordering};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube::discovery::{ApiGroup, Discovery, Scope, verbs};
use kube::{Api, Client, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_tests::audit::Write;
use latchkey_tests::control_plane::{ControlPlane, FIELD_MANAGER, apply};
use latchkey_tests::kubelet::Kubelet;
use latchkey_tests::operator::{Installation, Operator};
use latchkey_tests::status_port::StatusPort;
use latchkey_tests::wait;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::waiting::wait_for;

/// The name of the AuthService in every test.
pub const NAME: &str = "auth";

/// A namespace with an installation of the operator.
pub struct Fixture {
    pub control_plane: &'static ControlPlane,
    pub client: Client,
    pub namespace: String,
    pub installation: Installation,
    /// The response of the server pods on their management port.
    pub servers: StatusPort,
}

impl Fixture {
    /// A namespace with the permissions, but without a running operator and kubelet.
    pub async fn new(name: &str) -> Self {
        Self::with_values(name, &[]).await
    }

    /// The same with additional chart values.
    pub async fn with_values(name: &str, values: &[&str]) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let control_plane = ControlPlane::shared().await;
        let namespace = format!("test-{name}");
        let client = control_plane.client().await;
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let metadata = json!({"name": namespace, "labels": labels});
        apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await;
        let watch = format!("watchNamespace={namespace}");
        let values = [&[watch.as_str()], values].concat();
        let installation = Installation::new(control_plane, &namespace, &values).await;
        let servers = StatusPort::open(NEXT.fetch_add(1, Ordering::Relaxed)).await;
        Self { control_plane, client, namespace, installation, servers }
    }

    /// Starts an operator and waits until it is ready.
    pub async fn start_operator(&self) -> Operator {
        let mut operator = self.installation.start("operator-0");
        operator.wait_until_ready().await;
        operator
    }

    /// The same with other arguments instead of those of the chart.
    pub async fn start_operator_with(&self, arguments: &[&str]) -> Operator {
        let mut operator = self.installation.start_with("operator-0", arguments);
        operator.wait_until_ready().await;
        operator
    }

    /// Starts pods until the result is dropped.
    pub fn start_kubelet(&self) -> Kubelet {
        Kubelet::start(self.client.clone(), &self.namespace, self.servers.ip())
    }

    /// The objects of one kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies the AuthService with this spec.
    pub async fn apply(&self, spec: Value) -> AuthService {
        self.try_apply(spec).await.unwrap_or_else(|e| panic!("the AuthService was refused: {e}"))
    }

    /// Applies the AuthService with this spec; the request may be refused.
    pub async fn try_apply(&self, spec: Value) -> Result<AuthService, kube::Error> {
        let object = json!({
            "apiVersion": "latchkey.dev/v1alpha1",
            "kind": "AuthService",
            "metadata": {"name": NAME},
            "spec": spec,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.api::<AuthService>().patch(NAME, &parameters, &Patch::Apply(object)).await
    }

    /// Patches the AuthService with a JSON merge patch.
    pub async fn merge(&self, patch: Value) -> AuthService {
        let api = self.api::<AuthService>();
        api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("the API server accepts the patch")
    }

    /// Patches the status with a JSON merge patch.
    pub async fn merge_status(&self, status: Value) {
        let api = self.api::<AuthService>();
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(NAME, &PatchParams::default(), &patch)
            .await
            .expect("the API server accepts the patch");
    }

    /// Changes metadata of the AuthService that affect no object, which triggers a reconcile.
    pub async fn touch(&self) {
        let now = uuid::Uuid::new_v4().to_string();
        self.merge(json!({"metadata": {"annotations": {"touched": now}}})).await;
    }

    /// Annotates the AuthService; the name is given without its prefix.
    pub async fn annotate(&self, name: &str, value: &str) {
        self.merge(json!({"metadata": {"annotations": {format!("latchkey.dev/{name}"): value}}})).await;
    }

    /// The AuthService as it is now.
    pub async fn auth_service(&self) -> AuthService {
        self.api::<AuthService>().get(NAME).await.expect("the AuthService")
    }

    /// Waits until a condition has this status for the current generation, and returns it.
    pub async fn wait_for_condition(&self, kind: &str, status: &str) -> Condition {
        wait_for(self.api::<AuthService>(), NAME, |object| {
            let object = object.ok_or("there is no AuthService")?;
            let condition = condition(object, kind).ok_or_else(|| format!("no condition {kind}"))?;
            let current = condition.observed_generation == object.metadata.generation;
            (condition.status == status && current).then(|| condition.clone()).ok_or(format!("{condition:?}"))
        })
        .await
    }

    /// The same, also by the reason of the condition.
    pub async fn wait_for_reason(&self, kind: &str, status: &str, reason: &str) -> Condition {
        wait_for(self.api::<AuthService>(), NAME, |object| {
            let object = object.ok_or("there is no AuthService")?;
            let condition = condition(object, kind).ok_or_else(|| format!("no condition {kind}"))?;
            let current = condition.observed_generation == object.metadata.generation;
            (condition.status == status && condition.reason == reason && current)
                .then(|| condition.clone())
                .ok_or(format!("{condition:?}"))
        })
        .await
    }

    /// Waits until `SecretsResolved` is `False` with this reason and these words in the message.
    pub async fn wait_for_unresolved(&self, reason: &str, words: &[&str]) {
        wait_for(self.api::<AuthService>(), NAME, |object| {
            let found =
                object.and_then(|object| condition(object, "SecretsResolved")).ok_or("no condition")?;
            let fits = found.status == "False"
                && found.reason == reason
                && words.iter().all(|word| found.message.contains(word));
            fits.then_some(()).ok_or_else(|| format!("{found:?}, expected {reason} {words:?}"))
        })
        .await;
    }

    /// Waits for a Warning about the AuthService with this reason and this text in its note.
    pub async fn wait_for_warning(&self, reason: &str, text: &str) {
        wait::until(&format!("a Warning {reason} with {text:?}"), async || {
            let events = self.events().await;
            let found = events
                .iter()
                .any(|event| event.0 == "Warning" && event.1 == reason && event.2.contains(text));
            wait::check(found, events)
        })
        .await;
    }

    /// Creates a Secret, or replaces its data.
    pub async fn apply_secret(&self, name: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<&str, &str> = data.iter().copied().collect();
        let metadata = json!({"name": name, "namespace": self.namespace});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data});
        // Replaced, because keys applied as stringData remain in data.
        let api = self.api::<Secret>();
        let secret: Secret = serde_json::from_value(secret).expect("a Secret");
        let outcome = match api.get_opt(name).await.expect("a response") {
            Some(_) => api.replace(name, &kube::api::PostParams::default(), &secret).await,
            None => api.create(&kube::api::PostParams::default(), &secret).await,
        };
        outcome.expect("the Secret is written");
    }

    /// Any object in the namespace, by kind.
    pub fn any(&self, kind: &str) -> Api<DynamicObject> {
        let (group, version) = match kind {
            "Deployment" | "StatefulSet" => ("apps", "v1"),
            "Job" => ("batch", "v1"),
            "PodDisruptionBudget" => ("policy", "v1"),
            "ServiceMonitor" => ("monitoring.coreos.com", "v1"),
            "BackendTLSPolicy" | "HTTPRoute" => ("gateway.networking.k8s.io", "v1"),
            "Certificate" => ("cert-manager.io", "v1"),
            "Route" => ("route.openshift.io", "v1"),
            "Ingress" | "NetworkPolicy" => ("networking.k8s.io", "v1"),
            "HorizontalPodAutoscaler" => ("autoscaling", "v2"),
            _ => ("", "v1"),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Waits until an object has this value at a JSON pointer (`null`: no value).
    pub async fn wait_for_value(&self, kind: &str, name: &str, pointer: &str, expected: &Value) {
        wait_for(self.any(kind), name, |object| {
            let object = serde_json::to_value(object).expect("JSON");
            let found = object.pointer(pointer).unwrap_or(&Value::Null);
            (found == expected)
                .then_some(())
                .ok_or_else(|| format!("{kind} {pointer} is {found}, not {expected}"))
        })
        .await;
    }

    /// Waits until an object is gone.
    pub async fn wait_until_gone(&self, kind: &str, name: &str) {
        wait_for(self.any(kind), name, |object| {
            object.is_none().then_some(()).ok_or_else(|| format!("{kind}/{name} is still there"))
        })
        .await;
    }

    /// The hash that rolls the server's pods when it changes.
    pub async fn checksum(&self) -> String {
        checksum(self.any("Deployment").get(NAME).await.ok().as_ref()).expect("a checksum on the pods")
    }

    /// Waits for a rollout, and returns the new checksum.
    pub async fn wait_for_other_checksum(&self, before: &str) -> String {
        wait_for(self.any("Deployment"), NAME, |deployment| {
            let now = checksum(deployment).ok_or("no Deployment with a checksum")?;
            (now != before).then_some(now).ok_or_else(|| "the checksum has not changed".to_owned())
        })
        .await
    }

    /// All objects in the namespace that the AuthService owns, by `Kind/name`.
    pub async fn owned(&self) -> BTreeMap<String, DynamicObject> {
        let mut owned = BTreeMap::new();
        for resource in namespaced_resources(&self.client).await {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &self.namespace, resource);
            for mut object in api.list(&ListParams::default()).await.expect("a list") {
                // The elements of a list have no types of their own.
                object.types =
                    Some(TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() });
                if object.owner_references().iter().any(|owner| owner.kind == "AuthService") {
                    owned.insert(format!("{}/{}", resource.kind, object.name_any()), object);
                }
            }
        }
        owned
    }

    /// All objects in the namespace, by `Kind/name`, except Events and Leases.
    pub async fn everything(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for resource in namespaced_resources(&self.client).await {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &self.namespace, resource);
            for object in api.list(&ListParams::default()).await.expect("a list") {
                names.insert(format!("{}/{}", resource.kind, object.name_any()));
            }
        }
        names
    }

    /// The Events about the AuthService, newest last: type, reason and note.
    pub async fn events(&self) -> Vec<(String, String, String)> {
        let mut events = self.api::<Event>().list(&ListParams::default()).await.expect("events").items;
        events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
        let about = |event: &Event| {
            event.regarding.as_ref().is_some_and(|r| r.kind.as_deref() == Some("AuthService"))
        };
        let text = |text: Option<String>| text.unwrap_or_default();
        events.into_iter().filter(about).map(|e| (text(e.type_), text(e.reason), text(e.note))).collect()
    }

    /// Waits until the audit log has every write whose effect was seen: the API server logs a request after its response.
    pub async fn wait_for_audit_log(&self) {
        let name = format!("marker-{}", uuid::Uuid::new_v4());
        let metadata = json!({"name": name, "namespace": self.namespace});
        apply(&self.client, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await;
        wait::until("a later request in the audit log", async || {
            wait::check(self.control_plane.audit.contains(&name), &name)
        })
        .await;
    }

    /// The operator's writes so far, except to its Lease and Events.
    pub fn writes(&self) -> Vec<Write> {
        let mut writes = self.control_plane.audit.writes_by(&self.installation.user);
        writes.retain(|write| write.resource != "leases" && write.resource != "events");
        writes
    }
}

fn checksum(deployment: Option<&DynamicObject>) -> Option<String> {
    let template = deployment?.data.pointer("/spec/template/metadata/annotations")?;
    Some(template.get("latchkey.dev/checksum")?.as_str()?.to_owned())
}

/// A condition of an AuthService.
pub fn condition<'a>(object: &'a AuthService, kind: &str) -> Option<&'a Condition> {
    object.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// All listable namespaced kinds, except those that represent the same objects.
async fn namespaced_resources(client: &Client) -> &'static [ApiResource] {
    static RESOURCES: OnceCell<Vec<ApiResource>> = OnceCell::const_new();
    let discover = async || {
        let discovery = Discovery::new(client.clone()).exclude(&["metrics.k8s.io"]).run().await;
        let discovery = discovery.expect("the resources of the API server");
        let resources = discovery.groups().flat_map(ApiGroup::recommended_resources);
        resources
            .filter(|(resource, capabilities)| {
                capabilities.scope == Scope::Namespaced
                    && capabilities.supports_operation(verbs::LIST)
                    && !matches!(resource.kind.as_str(), "Event" | "Lease" | "AuthService")
            })
            .map(|(resource, _)| resource)
            .collect()
    };
    RESOURCES.get_or_init(discover).await
}

//! AuthClients in the namespace of a fixture, and the registry of its AuthService.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use latchkey_clients::{Client, Registry};
use latchkey_tests::control_plane::FIELD_MANAGER;
use latchkey_tests::status_port::healthy;
use latchkey_tests::wait;
use serde_json::{Value, json};

use crate::fixture::{Fixture, NAME};
use crate::waiting::wait_for;

/// The Secret of the registry.
pub const REGISTRY: &str = "auth-clients";

/// AuthClients of a namespace, untyped, so that tests can write what the types do not allow.
pub fn clients_in(fixture: &Fixture, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("latchkey.dev", "v1alpha1", "AuthClient"));
    Api::namespaced_with(fixture.client.clone(), namespace, &resource)
}

pub fn clients(fixture: &Fixture) -> Api<DynamicObject> {
    clients_in(fixture, &fixture.namespace)
}

/// Applies an AuthClient of the AuthService of the fixture with this spec; the request may be refused.
pub async fn try_apply_client(
    api: &Api<DynamicObject>,
    name: &str,
    mut spec: Value,
) -> Result<DynamicObject, kube::Error> {
    if spec.get("authServiceRef").is_none() {
        spec["authServiceRef"] = json!({"name": NAME});
    }
    let object = json!({
        "apiVersion": "latchkey.dev/v1alpha1", "kind": "AuthClient", "metadata": {"name": name}, "spec": spec,
    });
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await
}

pub async fn apply_client(fixture: &Fixture, name: &str, spec: Value) -> DynamicObject {
    let result = try_apply_client(&clients(fixture), name, spec).await;
    result.unwrap_or_else(|error| panic!("the AuthClient was refused: {error}"))
}

/// Annotates an AuthClient.
pub async fn annotate_client(fixture: &Fixture, name: &str, annotation: &str, value: &str) {
    let change = json!({"metadata": {"annotations": {format!("latchkey.dev/{annotation}"): value}}});
    clients(fixture)
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await
        .expect("the AuthClient is annotated");
}

pub fn client_condition(object: &DynamicObject, kind: &str) -> Option<Condition> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    serde_json::from_value(found.clone()).ok()
}

/// Waits until a condition of an AuthClient has this status and reason for the current generation.
pub async fn wait_for_client(
    api: &Api<DynamicObject>,
    name: &str,
    (kind, status, reason): (&str, &str, &str),
) -> Condition {
    wait_for(api.clone(), name, |object| {
        let object = object.ok_or("there is no AuthClient")?;
        let found = client_condition(object, kind).ok_or_else(|| format!("no condition {kind}"))?;
        let fits = found.status == status
            && found.reason == reason
            && found.observed_generation == object.metadata.generation;
        fits.then(|| found.clone()).ok_or_else(|| format!("{found:?}, not {status} {reason}"))
    })
    .await
}

pub async fn wait_until_ready(fixture: &Fixture, name: &str) {
    wait_for_client(&clients(fixture), name, ("Ready", "True", "Available")).await;
}

/// The registry in the cluster, if there is one.
pub async fn registry(fixture: &Fixture) -> Option<Registry> {
    let secret = fixture.api::<Secret>().get_opt(REGISTRY).await.expect("a response")?;
    Some(parse(&secret))
}

fn parse(secret: &Secret) -> Registry {
    let data = secret.data.as_ref().expect("data");
    Registry::parse(&data["clients.json.gz"].0).expect("a valid registry")
}

/// Waits until the registry fulfils a condition.
pub async fn wait_for_registry<T>(fixture: &Fixture, check: impl Fn(&Registry) -> Option<T>) -> T {
    wait_for(fixture.api::<Secret>(), REGISTRY, |secret| {
        let registry = parse(secret.ok_or("there is no registry")?);
        check(&registry).ok_or_else(|| format!("{registry:?}"))
    })
    .await
}

/// Waits until the registry has this client, and returns it.
pub async fn wait_for_entry(fixture: &Fixture, id: &str) -> Client {
    wait_for_registry(fixture, |registry| entry(registry, id)).await
}

pub fn entry(registry: &Registry, id: &str) -> Option<Client> {
    registry.clients().iter().find(|client| client.client_id == id).cloned()
}

/// The replicas report that they have loaded the registry with this serial.
pub fn report(fixture: &Fixture, serial: u64) {
    let mut status = healthy(&[]);
    status["clients"] = json!({"serial": serial, "count": 1});
    fixture.servers.answer(status);
}

/// The replicas report, from now on, the registry that is in the cluster at this moment.
pub async fn load(fixture: &Fixture) {
    report(fixture, registry(fixture).await.map_or(0, |registry| registry.serial()));
}

/// The data of a Secret as texts.
pub async fn texts(fixture: &Fixture, name: &str) -> BTreeMap<String, String> {
    let secret = fixture.api::<Secret>().get(name).await.expect("the Secret");
    let data = secret.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, String::from_utf8(value.0).expect("a text"))).collect()
}

/// Waits for an event about an AuthClient with this type and reason, and returns its note.
pub async fn wait_for_client_event(fixture: &Fixture, name: &str, kind: &str, reason: &str) -> String {
    wait::until(&format!("an event {reason}"), async || {
        let events = fixture.api::<Event>().list(&ListParams::default()).await.expect("events").items;
        let found = events.iter().find(|event| {
            let about = event.regarding.as_ref();
            about.is_some_and(|about| {
                about.kind.as_deref() == Some("AuthClient") && about.name.as_deref() == Some(name)
            }) && event.type_.as_deref() == Some(kind)
                && event.reason.as_deref() == Some(reason)
        });
        found.map(|event| event.note.clone().unwrap_or_default()).ok_or_else(|| {
            events.iter().map(|event| format!("{:?} {:?}", event.reason, event.note)).collect::<Vec<_>>()
        })
    })
    .await
}

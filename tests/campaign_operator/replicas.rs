//! Simulates the servers of one AuthService: two status ports, each of which loads the stored keys and OAuth clients with
//! its own delay, as servers load a mounted Secret.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use latchkey_clients::Registry;
use latchkey_tests::kubelet::{Outcome, is_of_job};
use latchkey_tests::status_port::{StatusPort, with_keys};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::history::{Entry, History};
use crate::scenario::NAME;

/// The Secret with the keys.
pub const KEYS: &str = "auth-jwt-keys";
/// The Secret with the registry of OAuth clients.
pub const CLIENTS: &str = "auth-clients";
/// The label with the purpose of a pod.
const COMPONENT: &str = "app.kubernetes.io/component";
/// How long each replica takes to load other keys.
const LOADS_AFTER: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// The addresses of the servers of all plans, by namespace. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<HashMap<String, Assigned>>>);

/// The servers of one plan, and the one that each pod is.
#[derive(Debug, Default)]
struct Assigned {
    servers: Vec<String>,
    pods: HashMap<String, usize>,
}

impl Addresses {
    /// What becomes of a pod: the pod of a Job succeeds, a server gets the address of one of the replicas, and other
    /// pods are ready.
    pub fn outcome(&self, pod: &Pod) -> Outcome {
        if is_of_job(pod) {
            return Outcome::Succeeded;
        }
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_namespace = addresses.get_mut(&pod.namespace().unwrap_or_default());
        let is_server = pod.labels().get(COMPONENT).is_some_and(|component| component == "server");
        let own = of_namespace.filter(|_| is_server).and_then(|assigned| {
            // In turn, so that two replicas of one rollout are two servers.
            let next = assigned.pods.len();
            let number = *assigned.pods.entry(pod.name_any()).or_insert(next);
            assigned.servers.get(number % assigned.servers.len().max(1)).cloned()
        });
        Outcome::Ready(own.unwrap_or_else(|| "127.0.0.1".to_owned()))
    }
}

/// The servers of one namespace, until they are dropped.
pub struct Replicas {
    addresses: Addresses,
    namespace: String,
    _tasks: JoinSet<()>,
}

impl Replicas {
    pub async fn start(addresses: &Addresses, namespace: &str, history: &History) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // The process id separates two concurrent runs on one machine; other tests use lower networks.
        let [.., network] = std::process::id().to_be_bytes();
        let mut tasks = JoinSet::new();
        let mut own = Vec::new();
        for (replica, loads_after) in LOADS_AFTER.into_iter().enumerate() {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let ip = format!("127.{}.{}.{}", 192 + (network & 31), number / 200 % 250 + 1, number % 200 + 1);
            own.push(ip.clone());
            let port = StatusPort::open_at(ip).await;
            tasks.spawn(load(port, replica, loads_after, history.clone()));
        }
        let assigned = Assigned { servers: own, pods: HashMap::new() };
        addresses.0.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_owned(), assigned);
        Self { addresses: addresses.clone(), namespace: namespace.to_owned(), _tasks: tasks }
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.namespace);
    }
}

async fn load(port: StatusPort, replica: usize, loads_after: Duration, history: History) {
    let mut changes = history.changes();
    let mut loaded = None;
    let mut clients: Option<Registry> = None;
    loop {
        let stored = history.object("Secret", KEYS).and_then(|secret| key_set(&secret));
        if let Some(set) = stored.filter(|set| loaded.as_ref() != Some(set)) {
            tokio::time::sleep(loads_after).await;
            history.add(Entry::Loaded { replica, kids: kids(&set) });
            loaded = Some(set);
        }
        // A server refuses a registry that is damaged or older than its own.
        let stored = history.object("Secret", CLIENTS).and_then(|secret| registry(&secret));
        let is_newer = |found: &Registry| {
            clients.as_ref().is_none_or(|known| found.serial() >= known.serial() && found != known)
        };
        if let Some(found) = stored.filter(is_newer) {
            tokio::time::sleep(loads_after).await;
            history.add(Entry::LoadedClients { replica, serial: found.serial() });
            clients = Some(found);
        }
        if let Some(set) = &loaded {
            let mut status = with_keys(set);
            status["clients"] = clients.as_ref().map_or(
                Value::Null,
                |clients| json!({"serial": clients.serial(), "count": clients.clients().len()}),
            );
            status["time"] = json!(chrono::Utc::now().timestamp());
            port.answer(status);
        }
        let next = tokio::time::timeout(Duration::from_millis(500), changes.changed()).await;
        if next.is_ok_and(|open| open.is_err()) {
            return;
        }
    }
}

/// The key set in a Secret.
pub fn key_set(secret: &Value) -> Option<Value> {
    let data = STANDARD.decode(secret["data"]["keys.json"].as_str()?).ok()?;
    serde_json::from_slice(&data).ok().filter(|set: &Value| set["keys"].is_array())
}

pub fn kids(set: &Value) -> Vec<String> {
    let keys = set["keys"].as_array().into_iter().flatten();
    keys.filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect()
}

/// The phases of the stored keys, in order.
pub fn phases(history: &History) -> Vec<String> {
    let stored = history.object("Secret", KEYS).and_then(|secret| key_set(&secret));
    let keys = stored.iter().flat_map(|set| set["keys"].as_array().into_iter().flatten());
    keys.filter_map(|key| key["latchkey_phase"].as_str().map(str::to_owned)).collect()
}

/// The registry of OAuth clients in a Secret.
pub fn registry(secret: &Value) -> Option<Registry> {
    let data = STANDARD.decode(secret["data"]["clients.json.gz"].as_str()?).ok()?;
    Registry::parse(&data).ok()
}

/// The condition of this type of the AuthService, if it is of the present generation.
pub fn condition(history: &History, kind: &str) -> Option<Value> {
    condition_of(history, ("AuthService", NAME), kind)
}

/// The same of an AuthClient.
pub fn client_condition(history: &History, name: &str, kind: &str) -> Option<Value> {
    condition_of(history, ("AuthClient", name), kind)
}

fn condition_of(history: &History, (of, name): (&str, &str), kind: &str) -> Option<Value> {
    let object = history.object(of, name)?;
    let found = object["status"]["conditions"].as_array()?.iter().find(|found| found["type"] == kind)?;
    (found["observedGeneration"] == object["metadata"]["generation"]).then(|| found.clone())
}

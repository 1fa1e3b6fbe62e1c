//! Simulates the servers of one AuthService: two status ports, each of which loads the stored keys with its own delay, as
//! servers load a mounted Secret.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use latchkey_tests::kubelet::{Outcome, is_of_job};
use latchkey_tests::status_port::{StatusPort, with_keys};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::history::{Entry, History};
use crate::scenario::NAME;

/// The Secret with the keys.
pub const KEYS: &str = "auth-jwt-keys";
/// How long each replica takes to load other keys.
const LOADS_AFTER: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// The addresses of the servers of all plans, by namespace. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<HashMap<String, Vec<String>>>>);

impl Addresses {
    /// What becomes of a pod: the pod of a Job succeeds, a server gets the address of one of the replicas, and other
    /// pods are ready.
    pub fn outcome(&self, pod: &Pod) -> Outcome {
        if is_of_job(pod) {
            return Outcome::Succeeded;
        }
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_namespace = addresses.get(&pod.namespace().unwrap_or_default());
        let number = pod.name_any().bytes().map(usize::from).sum::<usize>();
        let own = of_namespace.and_then(|all| all.get(number % all.len().max(1)));
        Outcome::Ready(own.cloned().unwrap_or_else(|| "127.0.0.1".to_owned()))
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
        addresses.0.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_owned(), own);
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
    loop {
        let stored = history.object("Secret", KEYS).and_then(|secret| key_set(&secret));
        if let Some(set) = stored.filter(|set| loaded.as_ref() != Some(set)) {
            tokio::time::sleep(loads_after).await;
            history.add(Entry::Loaded { replica, kids: kids(&set) });
            loaded = Some(set);
        }
        if let Some(set) = &loaded {
            let mut status = with_keys(set);
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

/// The condition of this type of the AuthService, if it is of the present generation.
pub fn condition(history: &History, kind: &str) -> Option<Value> {
    let object = history.object("AuthService", NAME)?;
    let found = object["status"]["conditions"].as_array()?.iter().find(|found| found["type"] == kind)?;
    (found["observedGeneration"] == object["metadata"]["generation"]).then(|| found.clone())
}

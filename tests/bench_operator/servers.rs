//! Simulates the auth servers: a status port on a loopback address for each AuthService.

use std::collections::HashMap;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use latchkey_crds::AuthService;
use latchkey_tests::status_port::StatusPort;
use tokio::task::JoinHandle;

/// The label that names the AuthService of a pod.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

/// The addresses of the server pods of each AuthService.
#[derive(Debug, Clone)]
pub struct Addresses {
    first: u8,
}

impl Addresses {
    /// Those of this process, which separates two concurrent runs on one machine.
    pub fn of_this_process() -> Self {
        let [.., low] = std::process::id().to_be_bytes();
        Self { first: 128 + (low & 63) }
    }

    /// The address of the pods of the AuthService of this name, which ends in its number.
    pub fn of(&self, name: &str) -> String {
        let number: usize = name.rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        format!("127.{}.{}.{}", self.first, number / 200 + 1, number % 200 + 1)
    }
}

/// All servers, until they are dropped.
pub struct Servers {
    addresses: Addresses,
    task: JoinHandle<()>,
}

impl Servers {
    /// Listens for `count` AuthServices and follows the keys of each.
    pub async fn start(client: Client, count: usize) -> Self {
        let addresses = Addresses::of_this_process();
        let mut ports = HashMap::new();
        for number in 0..count {
            let name = crate::fleet::name(number);
            let port = StatusPort::open_at(addresses.of(&name)).await;
            port.answer_healthy(&[]);
            ports.insert(name, port);
        }
        let api: Api<AuthService> = Api::all(client);
        let task = tokio::spawn(async move {
            let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                let Ok(object) = change else { continue };
                let keys = object.status.iter().flat_map(|status| &status.signing_keys);
                let kids: Vec<String> = keys.map(|key| key.kid.clone()).collect();
                if let Some(port) = ports.get(&object.name_any()) {
                    port.answer_healthy(&kids);
                }
            }
        });
        Self { addresses, task }
    }

    /// Where they listen.
    pub fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

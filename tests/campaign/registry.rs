//! The registry of OAuth clients, written as the operator does: a secret is added before it is used, a client or a secret is
//! removed at once, and both are complete when every replica reports the serial.

use std::time::{Duration, Instant};

use latchkey_tests::clients_file::{TestClient, compressed, credential};
use latchkey_tests::logs::secret;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::application::{accounts, client_id};
use crate::client::Client;
use crate::history::Account;
use crate::user::pause;
use crate::world::{Credential, FIRST_SERIAL};

/// The longest that a kubelet takes to update the file of one more replica.
const KUBELET: Duration = Duration::from_millis(700);
/// How long every replica may take to load a registry. A suspended one takes as long as it is suspended.
const LOADING: Duration = Duration::from_secs(90);
/// The number of secrets that a client has at a time.
const MOST_SECRETS: usize = 3;

/// The registered clients.
pub struct Registrar {
    client: Client,
    serial: u64,
    clients: Vec<Registered>,
}

/// A client; without credentials it is not in the registry.
struct Registered {
    account: Account,
    /// The newest first, with the entry in the registry.
    credentials: Vec<(Credential, Value)>,
}

impl Registered {
    fn ours(&self) -> Vec<Credential> {
        self.credentials.iter().map(|(credential, _)| credential.clone()).collect()
    }
}

/// A new secret, and its entry in the registry.
fn generated() -> (Credential, Value) {
    let secret = secret("client");
    let entry = credential(&secret);
    let id = entry["id"].as_str().and_then(|id| id.parse().ok()).expect("the id of a credential");
    (Credential { id, secret }, entry)
}

impl Registrar {
    pub fn new(client: Client) -> Self {
        let clients = accounts().map(|account| Registered { account, credentials: Vec::new() }).collect();
        Self { client, serial: FIRST_SERIAL, clients }
    }

    /// Registers all clients, before any fault.
    pub async fn register_all(&mut self) {
        for client in &mut self.clients {
            client.credentials = vec![generated()];
        }
        assert!(self.write().await, "the replicas did not load the registry");
        (0..self.clients.len()).for_each(|at| self.publish(at));
    }

    /// Changes the registry until `stop`.
    pub async fn live(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            pause(200 + self.client.random.below(1_000) as u64).await;
            let at = self.client.random.below(self.clients.len());
            let count = self.clients[at].credentials.len();
            match self.client.random.below(10) {
                _ if count == 0 => self.add_secret(at).await,
                0..5 if count < MOST_SECRETS => self.add_secret(at).await,
                0..8 => self.remove_secrets(at, 1).await,
                _ => self.remove_secrets(at, 0).await,
            }
        }
    }

    /// Rotates the secret of a client, or registers it again.
    async fn add_secret(&mut self, at: usize) {
        self.clients[at].credentials.insert(0, generated());
        if self.write().await {
            self.publish(at);
        }
    }

    /// Removes the older secrets of a client, or the client. Afterwards no replica accepts them.
    async fn remove_secrets(&mut self, at: usize, kept: usize) {
        let account = self.clients[at].account;
        let before = self.clients[at].ours();
        self.clients[at].credentials.truncate(kept);
        let is_loaded = self.write().await;
        self.publish(at);
        let removed = &before[kept.min(before.len())..];
        let tokens = self.client.world.change_client(account, |known| {
            let is_over = |id| removed.iter().any(|credential| credential.id == id);
            let (over, going_on): (Vec<_>, Vec<_>) =
                known.tokens.drain(..).partition(|token| is_over(token.credential));
            known.tokens = going_on;
            over
        });
        if is_loaded {
            self.client.probe_client_everywhere((account, &client_id(account)), &tokens, removed).await;
        }
    }

    /// Lets the application use the credentials that are registered.
    fn publish(&self, at: usize) {
        let credentials = self.clients[at].ours();
        self.client.world.change_client(self.clients[at].account, |known| known.credentials = credentials);
    }

    /// Writes the registry for every replica. Whether all of them reported it in time.
    async fn write(&mut self) -> bool {
        self.serial += 1;
        let clients: Vec<TestClient> = self
            .clients
            .iter()
            .filter(|client| !client.credentials.is_empty())
            .map(|client| {
                let entries: Vec<&Value> = client.credentials.iter().map(|(_, entry)| entry).collect();
                TestClient::new(&client_id(client.account), &["orders:read"])
                    .with("access_token_ttl", 3_600)
                    .with("credentials", json!(entries))
            })
            .collect();
        let content = compressed(self.serial, &clients);
        let ids = self.clients.iter().flat_map(|client| &client.credentials).map(|(known, _)| known.id);
        let world = std::sync::Arc::clone(&self.client.world);
        {
            let mut registry = world.registry.lock().await;
            registry.clone_from(&content);
            world.recorder.push_registry(self.serial, ids.collect());
            for file in &world.client_files {
                file.replace_bytes(&content);
                tokio::time::sleep(self.client.random.between(Duration::ZERO, KUBELET)).await;
            }
        }
        self.wait_until_loaded().await
    }

    async fn wait_until_loaded(&self) -> bool {
        let deadline = Instant::now() + LOADING;
        // A replica reads no older registry than the one that it has reported.
        let mut waiting: Vec<_> = self.client.world.replicas.iter().collect();
        while Instant::now() < deadline {
            let mut behind = Vec::new();
            for replica in waiting {
                if replica.loaded_serial().await.is_none_or(|serial| serial < self.serial) {
                    behind.push(replica);
                }
            }
            if behind.is_empty() {
                self.client.world.recorder.note_loaded(self.serial);
                return true;
            }
            waiting = behind;
            pause(100).await;
        }
        false
    }
}

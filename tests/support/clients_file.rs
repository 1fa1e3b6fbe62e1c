//! Registries of OAuth clients.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use latchkey_clients::{Registry, SecretDigest};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::answer::{Answer, Answered};
use crate::app::{App, Setup, path};
use crate::logs::secret;
use crate::process::temporary_folder;
use crate::server::Server;
use crate::wait;

/// A client as the operator registers it.
#[derive(Debug, Clone)]
pub struct TestClient {
    /// Its id.
    pub id: String,
    /// Its first secret.
    pub secret: String,
    /// Its entry in the registry.
    pub entry: Value,
}

impl TestClient {
    /// A confidential client with a new secret and these scopes, which may use the client_credentials grant.
    pub fn new(id: &str, scopes: &[&str]) -> Self {
        let secret = secret("client");
        let entry = json!({
            "client_id": id,
            "type": "confidential",
            "grant_types": ["client_credentials"],
            "scopes": scopes,
            "access_token_ttl": 600,
            "refresh_token_ttl": 28_800,
            "credentials": [credential(&secret)],
        });
        Self { id: id.to_owned(), secret, entry }
    }

    /// The same client with another member of its entry.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.entry[member] = value.into();
        self
    }

    /// A request of the client for a token, by HTTP Basic, at a replica.
    pub fn request(&self, server: &Server, form: &[(&str, &str)]) -> RequestBuilder {
        let form = [&[("grant_type", "client_credentials")][..], form].concat();
        server.post(path::TOKEN).basic_auth(&self.id, Some(&self.secret)).form(&form)
    }

    /// The response to that.
    pub async fn token_response(&self, app: &App, form: &[(&str, &str)]) -> Answer {
        self.request(app.server(), form).answer().await
    }

    /// A new access token of the client.
    ///
    /// # Panics
    /// When the client gets none.
    pub async fn token(&self, app: &App) -> String {
        let answer = self.token_response(app, &[]).await.ok(200);
        answer["access_token"].as_str().expect("a token").to_owned()
    }
}

/// A credential with a new id for this secret.
pub fn credential(secret: &str) -> Value {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    let digest = SecretDigest::new(bytes);
    json!({ "id": Uuid::new_v4(), "kind": "secret", "sha256": digest })
}

/// A registry file that the server reads (`CLIENTS_FILE`).
#[derive(Debug)]
pub struct ClientsFile {
    folder: TempDir,
    serial: AtomicU64,
}

impl ClientsFile {
    /// Writes a registry with these clients.
    pub fn new(clients: &[TestClient]) -> Self {
        let file = Self { folder: temporary_folder("clients-"), serial: AtomicU64::new(0) };
        file.replace(clients);
        file
    }

    /// The path of the file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("clients.json.gz")
    }

    /// Replaces the registry by one with the next serial, atomically, and returns the serial.
    pub fn replace(&self, clients: &[TestClient]) -> u64 {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        self.replace_bytes(&compressed(serial, clients));
        serial
    }

    /// Replaces the file by one with this content, atomically.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn replace_bytes(&self, content: &[u8]) {
        let new = self.folder.path().join("new");
        fs::write(&new, content).expect("the new registry");
        fs::rename(new, self.path()).expect("the new registry replaces the old one");
    }
}

/// A registry as JSON.
pub fn registry(serial: u64, clients: &[TestClient]) -> String {
    let entries: Vec<_> = clients.iter().map(|client| client.entry.clone()).collect();
    json!({ "format": 1, "serial": serial, "clients": entries }).to_string()
}

/// A registry as the operator writes it.
///
/// # Panics
/// When a client breaks a rule.
pub fn compressed(serial: u64, clients: &[TestClient]) -> Vec<u8> {
    Registry::parse(registry(serial, clients).as_bytes()).expect("valid clients").to_gzip()
}

impl Setup {
    /// A registry with these clients.
    #[must_use]
    pub fn clients(mut self, clients: &[TestClient]) -> Self {
        let file = ClientsFile::new(clients);
        let path = file.path().display().to_string();
        self.clients = Some(file);
        self.set("CLIENTS_FILE", &path)
    }
}

impl App {
    /// Replaces the clients, and waits until every replica has loaded them.
    ///
    /// # Panics
    /// When the test requested no clients.
    pub async fn register(&self, clients: &[TestClient]) {
        let file = self.clients.as_ref().expect("Setup::clients was called");
        let serial = file.replace(clients);
        for server in &self.servers {
            wait::until_equal("the serial of the loaded clients", serial, || async {
                server.status().await["clients"]["serial"].as_u64().unwrap_or_default()
            })
            .await;
        }
    }
}

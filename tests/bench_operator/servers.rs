//! Plays the auth servers: `GET /status` at an address of the loopback network for each AuthService.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use latchkey_crds::AuthService;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The label that names the AuthService of a pod.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

type Kids = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// The address of each AuthService's server pods.
#[derive(Debug, Clone)]
pub struct Addresses {
    first: u8,
}

impl Addresses {
    /// The address of the pods of the AuthService of this name, which ends in its number.
    pub fn of(&self, name: &str) -> String {
        let number: usize = name.rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        format!("127.{}.{}.{}", self.first, number / 200 + 1, number % 200 + 1)
    }
}

/// All servers, until they are dropped.
pub struct Servers {
    addresses: Addresses,
    _tasks: JoinSet<()>,
}

impl Servers {
    /// Listens for `count` AuthServices and follows which keys each has.
    pub async fn start(client: Client, count: usize) -> Self {
        let [.., low] = std::process::id().to_be_bytes();
        // Two runs on one machine keep apart.
        let addresses = Addresses { first: 128 + (low & 63) };
        let kids = Kids::default();
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let name = crate::fleet::name(number);
            let listener = TcpListener::bind((addresses.of(&name), 9090)).await;
            let listener = listener.expect("a port on the loopback network");
            tasks.spawn(serve(listener, name, kids.clone()));
        }
        let api: Api<AuthService> = Api::all(client);
        tasks.spawn(async move {
            let changes = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                let Ok(object) = change else { continue };
                let keys = object.status.iter().flat_map(|status| &status.signing_keys);
                let found = keys.map(|key| key.kid.clone()).collect();
                kids.lock().unwrap_or_else(PoisonError::into_inner).insert(object.name_any(), found);
            }
        });
        Self { addresses, _tasks: tasks }
    }

    /// Where they listen.
    pub fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }
}

async fn serve(listener: TcpListener, name: String, kids: Kids) {
    while let Ok((stream, _)) = listener.accept().await {
        let kids = kids.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        tokio::spawn(answer(stream, healthy(&kids.unwrap_or_default())));
    }
}

fn healthy(kids: &[String]) -> Value {
    let ready = json!({"ready": true, "message": "ok"});
    let keys: Vec<Value> =
        kids.iter().map(|kid| json!({"kid": kid, "alg": "ES256", "phase": "active"})).collect();
    json!({
        "version": "0.1.0",
        "schema_version": 1,
        "required_schema_version": 1,
        "signing_keys": keys,
        "revocation": {"mode": "redis", "message": "ok"},
        "dependencies": {
            "database": ready, "schema": ready, "redis": ready, "signing_keys": ready, "mail": ready,
        },
    })
}

async fn answer(mut stream: TcpStream, body: Value) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
    let body = body.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // The caller may have gone away; then nobody misses the answer.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

//! Simulates the management port of the server pods, because no server runs in them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The management port of server pods: `GET /status` on a loopback address.
#[derive(Debug)]
pub struct StatusPort {
    ip: String,
    answer: Arc<Mutex<Option<Value>>>,
    requests: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl StatusPort {
    /// Listens on port 9090 of an address that no other test uses, and does not respond before
    /// [`StatusPort::answer`].
    pub async fn open(number: u8) -> Self {
        // The process id separates two concurrent runs on one machine.
        let [.., high, low] = std::process::id().to_be_bytes();
        Self::open_at(format!("127.{}.{number}.{}", 64 + (high & 63), low.clamp(1, 254))).await
    }

    /// The same on a given address.
    pub async fn open_at(ip: String) -> Self {
        let listener = TcpListener::bind(format!("{ip}:9090")).await.expect("a port on the loopback network");
        let answer = Arc::new(Mutex::new(None));
        let current = answer.clone();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let answer: Option<Value> = lock(&current).clone();
                tokio::spawn(serve(stream, answer));
            }
        });
        Self { ip, answer, requests, server }
    }

    /// The pods' address.
    pub fn ip(&self) -> String {
        self.ip.clone()
    }

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Responds with this from now on.
    pub fn answer(&self, status: Value) {
        *lock(&self.answer) = Some(status);
    }

    /// Reports healthy dependencies and these loaded keys from now on.
    pub fn answer_healthy(&self, kids: &[String]) {
        self.answer(healthy(kids));
    }
}

impl Drop for StatusPort {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The `/status` of a server whose dependencies all respond.
pub fn healthy(kids: &[String]) -> Value {
    let ready = json!({"ready": true, "message": "ok"});
    let keys: Vec<Value> =
        kids.iter().map(|kid| json!({"kid": kid, "alg": "ES256", "phase": "active"})).collect();
    json!({
        "version": "0.1.0",
        "schema_version": 1,
        "required_schema_version": 1,
        "oldest_tolerated_server": 1,
        "signing_keys": keys,
        "revocation": {"mode": "redis", "message": "ok"},
        "dependencies": {
            "database": ready, "schema": ready, "redis": ready, "signing_keys": ready, "mail": ready,
        },
    })
}

/// The `/status` of a server that has loaded this key set, as stored in its Secret.
pub fn with_keys(set: &Value) -> Value {
    let mut status = healthy(&[]);
    let keys = set["keys"].as_array().expect("keys").iter();
    status["signing_keys"] = keys
        .map(|key| json!({"kid": key["kid"], "alg": key["alg"], "phase": key["latchkey_phase"]}))
        .collect();
    status["jwks_max_age"] = set["latchkey_notes"]["max_age"].clone();
    status
}

fn lock(answer: &Mutex<Option<Value>>) -> std::sync::MutexGuard<'_, Option<Value>> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request per connection, which RFC 9112 §9.6 permits.
async fn serve(mut stream: TcpStream, answer: Option<Value>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
    let (status, body) = match answer {
        Some(answer) if request.starts_with(b"GET /status ") => ("200 OK", answer.to_string()),
        _ => ("503 Service Unavailable", "{}".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // The client may have disconnected.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

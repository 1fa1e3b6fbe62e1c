//! A TCP listener that accepts connections and never responds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Keeps every accepted connection open until it is dropped.
#[derive(Debug)]
pub struct Blackhole {
    address: String,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Blackhole {
    /// Listens on an address, `IP:PORT`.
    pub async fn listen(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port of the loopback network");
        let address = listener.local_addr().expect("the address just bound").to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(stream);
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { address, accepted, task }
    }

    /// `IP:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The number of accepted connections.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Blackhole {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! A connection between a server and one of its dependencies that a test can cut.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes TCP connections on to another port, until it is cut.
#[derive(Debug)]
pub struct Link {
    port: u16,
    target: Arc<AtomicU16>,
    up: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Link {
    /// A link to `127.0.0.1:port`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn to(port: u16) -> Self {
        let listener = StdListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let own_port = listener.local_addr().expect("the address just bound").port();
        let listener = TcpListener::from_std(listener).expect("a tokio listener");
        let (up, state) = watch::channel(true);
        let target = Arc::new(AtomicU16::new(port));
        let current = Arc::clone(&target);
        let task = tokio::spawn(async move {
            while let Ok((incoming, _)) = listener.accept().await {
                let port = current.load(Ordering::Relaxed);
                tokio::spawn(pass_on(incoming, SocketAddr::from(([127, 0, 0, 1], port)), state.clone()));
            }
        });
        Self { port: own_port, target, up: Arc::new(up), task }
    }

    /// The port to connect to instead.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Leads new connections to another port; open ones stay.
    pub fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    /// Closes every connection and lets no new one through.
    pub fn cut(&self) {
        self.up.send_replace(false);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.up.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut incoming: TcpStream, target: SocketAddr, mut state: watch::Receiver<bool>) {
    if !*state.borrow() {
        return;
    }
    let Ok(mut outgoing) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut incoming, &mut outgoing) => {}
        _ = state.wait_for(|up| !up) => {}
    }
}

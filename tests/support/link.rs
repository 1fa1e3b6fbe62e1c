//! A TCP proxy between a program and one of its dependencies, which a test can interrupt.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards TCP connections to another port until it is cut.
#[derive(Debug)]
pub struct Link {
    port: u16,
    target: Arc<AtomicU16>,
    traffic: Arc<watch::Sender<Traffic>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct Traffic {
    state: State,
    /// What was held back before the number changed is forwarded.
    released: u64,
    /// The connections opened before the number changed carry nothing any more, and stay open.
    generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// Requests are forwarded, responses are not.
    AnswersHeld,
    /// Responses are forwarded, requests are not.
    RequestsHeld,
    Cut,
}

impl Link {
    /// Forwards to `127.0.0.1:port`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn to(port: u16) -> Self {
        Self::from(Ipv4Addr::LOCALHOST, port)
    }

    /// The same from another loopback address (127.0.0.0/8), by which the target can identify the client.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn from(source: Ipv4Addr, port: u16) -> Self {
        Self::paced(source, port, Duration::ZERO)
    }

    /// A link to `127.0.0.1:port` that carries about 8 MB a second.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn slow(port: u16) -> Self {
        Self::paced(Ipv4Addr::LOCALHOST, port, Duration::from_millis(2))
    }

    /// `pace` is the time for which each buffer is held up.
    fn paced(source: Ipv4Addr, port: u16, pace: Duration) -> Self {
        let listener = StdListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let own_port = listener.local_addr().expect("the address just bound").port();
        let listener = TcpListener::from_std(listener).expect("a tokio listener");
        let (sender, traffic) = watch::channel(Traffic { state: State::Up, released: 0, generation: 0 });
        let target = Arc::new(AtomicU16::new(port));
        let current = Arc::clone(&target);
        let task = tokio::spawn(async move {
            while let Ok((incoming, _)) = listener.accept().await {
                let target = SocketAddr::from(([127, 0, 0, 1], current.load(Ordering::Relaxed)));
                tokio::spawn(forward(incoming, source.into(), target, traffic.clone(), pace));
            }
        });
        Self { port: own_port, target, traffic: Arc::new(sender), task }
    }

    /// The port of this proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Forwards new connections to another port; open ones are not affected.
    pub fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::Relaxed);
    }

    /// Closes every connection and accepts no new one.
    pub fn cut(&self) {
        self.set(State::Cut);
    }

    /// Forwards connections again, and the data that was held back.
    pub fn mend(&self) {
        self.set(State::Up);
    }

    /// Holds back responses; requests are still forwarded.
    pub fn hold_answers(&self) {
        self.set(State::AnswersHeld);
    }

    /// Forwards what is held back now, and holds back the next.
    pub fn release(&self) {
        self.traffic.send_modify(|traffic| traffic.released += 1);
    }

    /// Holds back everything on the connections that are open, in both directions and for good, as after the loss of a node or
    /// of a network; new connections work.
    pub fn silence_open(&self) {
        self.traffic.send_modify(|traffic| traffic.generation += 1);
    }

    fn set(&self, state: State) {
        self.traffic.send_modify(|traffic| traffic.state = state);
    }

    /// Holds back requests; responses are still forwarded, those held back before included.
    pub fn hold_requests(&self) {
        self.set(State::RequestsHeld);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    incoming: TcpStream,
    source: IpAddr,
    target: SocketAddr,
    mut traffic: watch::Receiver<Traffic>,
    pace: Duration,
) {
    let Traffic { state, generation, .. } = *traffic.borrow();
    if state == State::Cut {
        return;
    }
    let Ok(outgoing) = connect(source, target).await else { return };
    let (from_client, to_client) = incoming.into_split();
    let (from_server, to_server) = outgoing.into_split();
    let (requests, answers) = (traffic.clone(), traffic.clone());
    let both = async {
        tokio::join!(
            copy(from_client, to_server, requests, (State::RequestsHeld, generation), pace),
            copy(from_server, to_client, answers, (State::AnswersHeld, generation), pace),
        );
    };
    tokio::select! {
        () = both => {}
        _ = traffic.wait_for(|traffic| traffic.state == State::Cut) => {}
    }
}

async fn connect(source: IpAddr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(target).await
}

/// Copies until either end closes, except while the link is in the state that holds back this direction, or after the
/// generation of the connection.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut traffic: watch::Receiver<Traffic>,
    (held, generation): (State, u64),
    pace: Duration,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
        let released = traffic.borrow().released;
        let passes = |traffic: &Traffic| {
            traffic.generation == generation && (traffic.state != held || traffic.released > released)
        };
        let ended = traffic.wait_for(passes).await.is_err();
        if ended || read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    // Only fails if the other end is already closed.
    let _ = to.shutdown().await;
}

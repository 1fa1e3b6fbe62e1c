//! A TCP proxy between two programs that misbehaves on request. It can do what toxiproxy can (refuse, cut, delay, hold),
//! and cut a connection between a commit and its response, which needs to know PostgreSQL's protocol.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the proxy does with connections and data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Forward,
    /// Closes every connection and accepts no data on new ones.
    Refuse,
    /// Holds all data in both directions; connections stay open, and new ones are accepted.
    Freeze,
    /// Holds responses only: what was requested happens.
    HoldResponses,
    /// Holds every chunk for this time.
    Delay(Duration),
    /// Closes a connection in the middle of a response: in one of `one_in` chunks, after half of its bytes.
    CutResponses {
        one_in: u64,
    },
    /// Closes a connection instead of forwarding a response that contains one of these texts, in one of `one_in` cases:
    /// the server has done what the client never learns.
    CutAt {
        texts: &'static [&'static [u8]],
        one_in: u64,
    },
}

/// PostgreSQL's confirmations of a transaction and of statements that write.
pub const COMMITS: &[&[u8]] = &[b"COMMIT\0", b"INSERT 0 1\0", b"UPDATE 1\0", b"DELETE 1\0"];
/// An SMTP server's acceptance of a message.
pub const MAIL_ACCEPTED: &[&[u8]] = &[b"250 2.0.0 Ok: queued", b"queued as"];

/// A proxy with its own port. Dropping it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: AtomicU16,
    mode: watch::Sender<Mode>,
    /// Counts the cases of which one in some is cut. Not a random number: a repeated run cuts the same share.
    cases: AtomicU64,
}

impl Proxy {
    /// Forwards to `127.0.0.1:target`.
    pub fn to(target: u16) -> Self {
        let listener = StdListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let port = listener.local_addr().expect("the address just bound").port();
        let listener = TcpListener::from_std(listener).expect("a tokio listener");
        let (mode, _) = watch::channel(Mode::Forward);
        let shared = Arc::new(Shared { target: AtomicU16::new(target), mode, cases: AtomicU64::new(0) });
        let accepting = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((incoming, _)) = listener.accept().await {
                tokio::spawn(forward(incoming, Arc::clone(&accepting)));
            }
        });
        Self { port, shared, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Forwards new connections to another port.
    pub fn lead_to(&self, target: u16) {
        self.shared.target.store(target, Ordering::Relaxed);
    }

    pub fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.mode.send_replace(Mode::Refuse);
    }
}

impl Shared {
    fn is_hit(&self, one_in: u64) -> bool {
        self.cases.fetch_add(1, Ordering::Relaxed) % one_in == one_in - 1
    }
}

async fn forward(incoming: TcpStream, shared: Arc<Shared>) {
    let mut mode = shared.mode.subscribe();
    if *mode.borrow_and_update() == Mode::Refuse {
        return;
    }
    let target = SocketAddr::from(([127, 0, 0, 1], shared.target.load(Ordering::Relaxed)));
    let Ok(outgoing) = TcpStream::connect(target).await else { return };
    for stream in [&incoming, &outgoing] {
        // It only costs time if this fails.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = incoming.into_split();
    let (from_server, to_server) = outgoing.into_split();
    let requests = copy(from_client, to_server, Direction::Request, Arc::clone(&shared));
    let responses = copy(from_server, to_client, Direction::Response, Arc::clone(&shared));
    let both = async {
        tokio::select! {
            // The server closes its side when it has answered; a cut connection ends both directions.
            () = responses => {}
            () = async { requests.await; std::future::pending().await } => {}
        }
    };
    tokio::select! {
        () = both => {}
        _ = mode.wait_for(|mode| *mode == Mode::Refuse) => {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction, shared: Arc<Shared>) {
    let mut mode = shared.mode.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        let mut data = &buffer[..read];
        let is_held = |mode: &Mode| {
            *mode == Mode::Freeze || (*mode == Mode::HoldResponses && direction == Direction::Response)
        };
        let Ok(now) = mode.wait_for(|mode| !is_held(mode)).await.map(|mode| *mode) else { return };
        match now {
            Mode::Delay(delay) => tokio::time::sleep(delay).await,
            Mode::CutResponses { one_in } if direction == Direction::Response && shared.is_hit(one_in) => {
                data = &data[..read / 2];
            }
            Mode::CutAt { texts, one_in }
                if direction == Direction::Response && contains(data, texts) && shared.is_hit(one_in) =>
            {
                return;
            }
            _ => {}
        }
        if to.write_all(data).await.is_err() || data.len() < read {
            return;
        }
    }
    // Only fails if the other end is already closed.
    let _ = to.shutdown().await;
}

fn contains(data: &[u8], texts: &[&[u8]]) -> bool {
    texts.iter().any(|text| data.windows(text.len()).any(|window| window == *text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every line with another line.
    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 100];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&buffer[..read]).await.unwrap();
                    }
                });
            }
        });
        port
    }

    async fn ask(stream: &mut TcpStream, text: &[u8]) -> Vec<u8> {
        stream.write_all(text).await.unwrap();
        let mut buffer = vec![0; 100];
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        buffer.truncate(read);
        buffer
    }

    #[tokio::test]
    async fn each_mode_does_what_it_says() {
        let proxy = Proxy::to(echo().await);
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port()));
        let mut open = connect().await.unwrap();
        assert_eq!(ask(&mut open, b"forward").await, b"forward");

        proxy.set(Mode::CutAt { texts: COMMITS, one_in: 1 });
        assert_eq!(ask(&mut open, b"SELECT 1\0").await, b"SELECT 1\0");
        assert_eq!(ask(&mut open, b"C....COMMIT\0").await, b"");

        proxy.set(Mode::CutResponses { one_in: 2 });
        let mut open = connect().await.unwrap();
        let first = ask(&mut open, b"1234").await;
        let second = ask(&mut open, b"1234").await;
        assert!([first, second].contains(&b"12".to_vec()));

        let mut buffer = [0; 4];
        for mode in [Mode::Freeze, Mode::HoldResponses] {
            proxy.set(mode);
            let mut open = connect().await.unwrap();
            let held = tokio::time::timeout(Duration::from_millis(50), ask(&mut open, b"held")).await;
            assert!(held.is_err());
            proxy.set(Mode::Forward);
            open.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"held");
        }

        let mut open = connect().await.unwrap();
        assert_eq!(ask(&mut open, b"open").await, b"open");
        proxy.set(Mode::Refuse);
        assert_eq!(open.read(&mut buffer).await.unwrap_or(0), 0);
        assert_eq!(connect().await.unwrap().read(&mut buffer).await.unwrap_or(0), 0);
    }
}

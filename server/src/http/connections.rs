//! Accepts connections, and bounds what a client can hold without completing a request: the number of connections, the
//! time and the size of request headers, and idle time. `axum::serve` bounds none of them.
//!
//! At the limit the connection that has been without a request for the longest time is closed in favour of the new one,
//! so that idle connections, however many, keep no other client out (ASVS 5.0 §13.1.2).

mod activity;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

pub use activity::{ActiveRequest, Connections};
use activity::{Activity, Closed, Entry, Observed};

use super::tls::ServerTls;

/// The largest head of a request, in bytes: the request line and all headers. A larger one is answered with 431.
pub const MAX_HEAD_BYTES: usize = 32 * 1024;
/// How long the head of a request may take from its first byte.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection stays open without a request. Longer than common proxies keep theirs (nginx and cloud load
/// balancers: 60 s), so that no proxy sends a request on a connection that this server is closing.
const IDLE_DEADLINE: Duration = Duration::from_mins(3);
/// How long a connection that is being closed may take to send what it has.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// How often deadlines are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The number of concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// How long accepting pauses after the system refused a connection, usually because no file descriptor is free.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Serves `router` until `stop` is cancelled and the requests in progress are answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: Arc<Connections>,
    tls: Option<Arc<ServerTls>>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let protocol = protocol();
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let entry = connections.admit().await;
                    let (protocol, router) = (protocol.clone(), router.clone());
                    // Sends small responses without delay. Without the option they are only slower, so an error is
                    // ignored.
                    let _ = stream.set_nodelay(true);
                    match tls.clone() {
                        None => tasks.spawn(run(protocol, router, stream, peer, entry)),
                        Some(tls) => tasks.spawn(run_with_tls(tls, protocol, router, stream, peer, entry)),
                    };
                }
                // The client went away before it was accepted.
                Err(error) if is_about_one_client(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "a connection could not be accepted");
                    connections.close_longest_idle();
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = accept => {}
        () = check_deadlines(&connections) => {}
    }
    drop(listener);
    connections.close_all();
    tasks.close();
    tasks.wait().await;
}

fn is_about_one_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn check_deadlines(connections: &Connections) {
    let mut ticks = tokio::time::interval(CHECK_INTERVAL);
    loop {
        ticks.tick().await;
        connections.close_overdue(HEAD_DEADLINE, IDLE_DEADLINE);
    }
}

fn protocol() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // hyper's own timeout for headers also runs while a connection is idle, so [`Activity`] measures both instead.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

async fn run_with_tls(
    tls: Arc<ServerTls>,
    protocol: Builder<TokioExecutor>,
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
    entry: Entry,
) {
    let activity = entry.activity();
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(HEAD_DEADLINE, tls.accept(stream)) => handshake,
        // There is no request that could be answered.
        _ = activity.closed() => return,
    };
    // A handshake that fails concerns its client only.
    if let Ok(Ok(stream)) = handshake {
        run(protocol, router, stream, peer, entry).await;
    }
}

async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    protocol: Builder<TokioExecutor>,
    router: Router,
    stream: S,
    peer: SocketAddr,
    entry: Entry,
) {
    let activity = entry.activity();
    let io = TokioIo::new(Observed::new(stream, Arc::clone(&activity)));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        answer(router.clone(), request.map(Body::new), peer, Arc::clone(&activity))
    });
    let mut served = std::pin::pin!(protocol.serve_connection(io, service));
    let closed = tokio::select! {
        // A connection that breaks concerns its client only.
        _ = served.as_mut() => return,
        closed = activity.closed() => closed,
    };
    match closed {
        // What has arrived is no request, so there is nothing to answer.
        Closed::HeadDeadline => {}
        Closed::Displaced if activity.is_reading() => {}
        Closed::Idle | Closed::Displaced => {
            served.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(CLOSE_DEADLINE, served).await;
        }
        Closed::Stopping => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

async fn answer(
    mut router: Router,
    mut request: Request,
    peer: SocketAddr,
    activity: Arc<Activity>,
) -> Result<Response, Infallible> {
    activity.head_arrived();
    request.extensions_mut().insert(ConnectInfo(peer));
    // A request whose body is yet to arrive counts as active from its last byte, see `arrival::await_body`.
    let _active = request.body().is_end_stream().then(|| activity.begin_request());
    request.extensions_mut().insert(RequestActivity(Arc::clone(&activity)));
    let response = router.call(request).await;
    activity.answered();
    response
}

/// In the extensions of each request: the state of its connection.
#[derive(Clone)]
pub struct RequestActivity(Arc<Activity>);

impl RequestActivity {
    /// Marks the connection as one that waits for the server, until the guard is dropped.
    pub fn begin(&self) -> ActiveRequest {
        self.0.begin_request()
    }
}

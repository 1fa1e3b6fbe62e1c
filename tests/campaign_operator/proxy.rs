//! A proxy between one operator and the API server, which records all calls and causes one fault.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::call::Call;
use crate::fault::{Failure, Fault, View};
use crate::view;

pub type ErrorBox = Box<dyn std::error::Error + Send + Sync>;
pub type AnyBody = UnsyncBoxBody<Bytes, ErrorBox>;

/// The connection is closed without a response.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by the plan")
    }
}

impl std::error::Error for Cut {}

/// A write of the operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub call: Call,
    pub body: Value,
    /// The status of the response of the API server; 0 if the write was not sent.
    pub code: u16,
}

impl Write {
    pub fn describe(&self) -> String {
        format!("{:?} {}/{}", self.call.verb, self.call.resource, self.call.name)
    }
}

/// The fault, and what it concerned so far.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    seen: usize,
}

pub struct Shared {
    pub client: Client,
    armed: Mutex<Armed>,
    /// Whether a disturbance of watches is in force. It changes when the fault is set, and when it is lifted.
    pub disturbed: watch::Sender<bool>,
    struck: AtomicUsize,
    crashes_due: AtomicUsize,
    writes: Mutex<Vec<Write>>,
    crash: mpsc::UnboundedSender<()>,
    /// Old lists, by path and query.
    pub old_lists: Mutex<Vec<view::OldList>>,
    /// The watches so far: path, query, and the accepted form.
    pub watches: Mutex<Vec<(String, String, String)>>,
}

/// The proxy; it ends when it is dropped.
pub struct Proxy {
    pub shared: Arc<Shared>,
    pub port: u16,
    /// A message for each moment at which the plan wants the operator killed.
    pub crashes: tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>,
    _tasks: JoinSet<()>,
}

enum Step {
    Forward,
    Fail(Failure),
    CrashBefore,
    CrashAfter,
    /// The response waits until the fault is lifted.
    Hold,
}

impl Proxy {
    /// Listens on a free port.
    pub async fn start(client: Client) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("the address just bound").port();
        let (crash, crashes) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            client,
            armed: Mutex::new(Armed { fault: Fault::None, seen: 0 }),
            disturbed: watch::Sender::new(false),
            struck: AtomicUsize::new(0),
            crashes_due: AtomicUsize::new(0),
            writes: Mutex::default(),
            crash,
            old_lists: Mutex::default(),
            watches: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        let of_all = shared.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = of_all.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| serve(shared.clone(), request));
                    // Fails when the operator is killed, and when the plan closes the connection.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { shared, port, crashes: tokio::sync::Mutex::new(crashes), _tasks: tasks }
    }

    /// Causes this fault from now on.
    pub fn arm(&self, fault: Fault) {
        let disturbs = !matches!(fault, Fault::None | Fault::Crash { .. } | Fault::Error { .. });
        *lock(&self.shared.armed) = Armed { fault, seen: 0 };
        self.shared.disturbed.send_replace(disturbs);
    }

    /// Causes no fault any more.
    pub fn lift(&self) {
        self.arm(Fault::None);
    }

    /// How often the fault had an effect.
    pub fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// Whether a crash has been decided that the plan has not carried out yet.
    pub fn is_crash_due(&self) -> bool {
        self.shared.crashes_due.load(Ordering::SeqCst) > 0
    }

    /// Notes that the operator was killed.
    pub fn crashed(&self) {
        self.shared.crashes_due.store(0, Ordering::SeqCst);
    }

    /// All writes so far, except those of the leader election.
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.shared.writes).clone()
    }

    /// Remembers the present lists of a resource, for [`Fault::OlderList`].
    pub async fn keep_lists(&self, resource: &str) {
        let watches = lock(&self.shared.watches).clone();
        for (path, query, accept) in watches {
            if Call::of(&hyper::Method::GET, &path, &query).resource == resource {
                let list = view::read_list(&self.shared.client, &path, &query, &accept).await;
                lock(&self.shared.old_lists).extend(list);
            }
        }
    }
}

pub fn lock<T>(content: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn strike(&self) {
        self.struck.fetch_add(1, Ordering::SeqCst);
    }

    /// The fault for the watches of a resource.
    pub fn view_of(&self, resource: &str) -> Option<Fault> {
        match &lock(&self.armed).fault {
            Fault::Away { lasts } => Some(Fault::Watch { resource: "", view: View::Cut, lasts: *lasts }),
            fault @ (Fault::Watch { resource: of, .. } | Fault::OlderList { resource: of, .. })
                if *of == resource =>
            {
                Some(fault.clone())
            }
            _ => None,
        }
    }

    fn decide(&self, call: &Call) -> Step {
        let mut armed = lock(&self.armed);
        let fault = armed.fault.clone();
        match fault {
            Fault::Crash { nth, after } if call.writes() => {
                armed.seen += 1;
                if armed.seen != nth {
                    return Step::Forward;
                }
                self.strike();
                self.crashes_due.store(1, Ordering::SeqCst);
                if after { Step::CrashAfter } else { Step::CrashBefore }
            }
            Fault::Error { of, nth, times, error } if of.contain(call) => {
                armed.seen += 1;
                if armed.seen < nth || armed.seen >= nth + times {
                    return Step::Forward;
                }
                self.strike();
                Step::Fail(error)
            }
            Fault::DeletedMeanwhile { nth } if call.writes() => {
                armed.seen += 1;
                if armed.seen != nth {
                    return Step::Forward;
                }
                self.strike();
                Step::Hold
            }
            Fault::Away { .. } => {
                self.strike();
                Step::Fail(Failure::CutBefore)
            }
            _ => Step::Forward,
        }
    }
}

async fn serve(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<AnyBody>, ErrorBox> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    let call = Call::of(&parts.method, &path, &query);
    let step = if call.is_of_election() { Step::Forward } else { shared.decide(&call) };
    let number = note(&shared, &call, &body);
    let failure = match step {
        Step::CrashBefore => {
            // The receiver lives as long as the proxy.
            let _ = shared.crash.send(());
            return std::future::pending().await;
        }
        Step::Fail(Failure::CutBefore) => return Err(Cut.into()),
        Step::Fail(Failure::SilentBefore) => return std::future::pending().await,
        Step::Fail(failure) => match failure.response() {
            Some((code, status)) => return Ok(refuse(code, &status)),
            None => Some(failure),
        },
        Step::Forward | Step::CrashAfter | Step::Hold => None,
    };
    let accept = parts.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if call.verb == crate::call::Verb::Watch {
        lock(&shared.watches).push((path.clone(), query.clone(), accept.to_owned()));
        if failure.is_none() {
            return view::answer(&shared, &call, &path, &query, accept).await;
        }
    }
    let response = send(&shared.client, parts, body).await?;
    let (head, body) = response.into_parts();
    if let Some(number) = number {
        lock(&shared.writes)[number].code = head.status.as_u16();
    }
    if matches!(step, Step::Hold) {
        let mut disturbed = shared.disturbed.subscribe();
        let _ = shared.crash.send(());
        view::lifted(&mut disturbed).await;
    }
    match (step, failure) {
        (Step::CrashAfter, _) => {
            let _ = shared.crash.send(());
            std::future::pending().await
        }
        (_, Some(Failure::CutAfter)) => Err(Cut.into()),
        (_, Some(Failure::SilentAfter)) => std::future::pending().await,
        (_, Some(Failure::CutInside)) => {
            let body = BodyExt::map_err(body, ErrorBox::from);
            Ok(Response::from_parts(head, view::cut_inside(body)))
        }
        _ => Ok(Response::from_parts(head, BodyExt::map_err(body, ErrorBox::from).boxed_unsync())),
    }
}

/// Records a write; returns its place.
fn note(shared: &Shared, call: &Call, body: &Bytes) -> Option<usize> {
    if !call.writes() || call.is_of_election() {
        return None;
    }
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    let mut writes = lock(&shared.writes);
    writes.push(Write { call: call.clone(), body, code: 0 });
    Some(writes.len() - 1)
}

fn refuse(code: u16, status: &Value) -> Response<AnyBody> {
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never: Infallible| match never {});
    let mut response = Response::builder().status(code).header("content-type", "application/json");
    if code == 429 {
        response = response.header("retry-after", "1");
    }
    response.body(body.boxed_unsync()).expect("a response")
}

/// Sends a request with the permissions of the operator.
async fn send(client: &Client, parts: http::request::Parts, body: Bytes) -> Result<Response<Body>, ErrorBox> {
    let mut request =
        Request::builder().method(parts.method).uri(parts.uri.path_and_query().map_or("/", |p| p.as_str()));
    for name in ["accept", "content-type"] {
        if let Some(value) = parts.headers.get(name) {
            request = request.header(name, value);
        }
    }
    // Longer than any timeout of the operator.
    let sent = client.send(request.body(Body::from(body))?);
    Ok(tokio::time::timeout(Duration::from_mins(5), sent).await??)
}

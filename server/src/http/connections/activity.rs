//! What each open connection is doing, and which one to close.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};

use crate::metrics::{Metrics, StateGauge};

/// How often a client that waits for a place looks for a connection that has become idle.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Stands for the time of the first byte while a body is read.
const READING_BODY: u64 = u64::MAX;
/// The first bytes of an HTTP/2 connection (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI ";

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The head of a request took too long.
    HeadDeadline,
    /// There was no request for a long time.
    Idle,
    /// The limit was reached, and this connection had been without a request for the longest time.
    Displaced,
    /// The server stops.
    Stopping,
}

impl Closed {
    /// The label of the metric; stopping is not counted.
    fn label(self) -> Option<&'static str> {
        match self {
            Self::HeadDeadline => Some("head_deadline"),
            Self::Idle => Some("idle"),
            Self::Displaced => Some("displaced"),
            Self::Stopping => None,
        }
    }
}

/// The open connections of one port.
pub struct Connections {
    limit: usize,
    /// Where closed connections are counted.
    metrics: Option<Arc<Metrics>>,
    table: Mutex<Table>,
    released: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Activity>>,
}

/// The place of one connection in the table. Dropping it makes room for another.
pub(super) struct Entry {
    id: u64,
    activity: Arc<Activity>,
    connections: Arc<Connections>,
}

impl Connections {
    /// A table that admits `limit` connections.
    pub fn new(limit: usize, metrics: Option<Arc<Metrics>>) -> Arc<Self> {
        Arc::new(Self { limit: limit.max(1), metrics, table: Mutex::default(), released: Notify::new() })
    }

    /// Sets the gauges.
    pub fn measure(&self, metrics: &Metrics) {
        #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
        let [open, limit] = [self.lock().open.len(), self.limit].map(|number| number as f64);
        metrics.set_state(StateGauge::Connections, "open", open);
        metrics.set_state(StateGauge::Connections, "limit", limit);
    }

    fn close(&self, activity: &Activity, reason: Closed) {
        if activity.close(reason)
            && let Some(metrics) = &self.metrics
            && let Some(label) = reason.label()
        {
            metrics.count_closed_connection(label);
        }
    }

    /// Waits for a place. At the limit it closes the connection that has been idle for the longest time; while every
    /// connection waits for the server, the new one waits for one of them.
    pub(super) async fn admit(self: &Arc<Self>) -> Entry {
        loop {
            let released = self.released.notified();
            if let Some(entry) = self.try_admit() {
                return entry;
            }
            self.close_longest_idle();
            // A connection that becomes idle releases nothing, hence the interval.
            let _ = tokio::time::timeout(RETRY_INTERVAL, released).await;
        }
    }

    fn try_admit(self: &Arc<Self>) -> Option<Entry> {
        let mut table = self.lock();
        if table.open.len() >= self.limit {
            return None;
        }
        let (id, activity) = (table.next, Arc::new(Activity::new()));
        table.next += 1;
        table.open.insert(id, Arc::clone(&activity));
        Some(Entry { id, activity, connections: Arc::clone(self) })
    }

    /// Closes the connection that has been without a request for the longest time, if there is one.
    pub(super) fn close_longest_idle(&self) {
        let table = self.lock();
        let idle = table.open.values().filter(|activity| activity.may_be_closed());
        if let Some(activity) = idle.min_by_key(|activity| activity.since()) {
            self.close(activity, Closed::Displaced);
        }
    }

    /// Closes each connection whose request head takes longer than `head`, or that is idle for longer than `idle`.
    pub(super) fn close_overdue(&self, head: Duration, idle: Duration) {
        let table = self.lock();
        let now = now();
        for activity in table.open.values().filter(|activity| activity.may_be_closed()) {
            let reading = activity.reading.load(Ordering::Relaxed);
            if reading != 0 && reading != READING_BODY && elapsed(reading, now) > head {
                self.close(activity, Closed::HeadDeadline);
            } else if elapsed(activity.since(), now) > idle {
                self.close(activity, Closed::Idle);
            }
        }
    }

    /// Closes every connection as soon as its requests are answered.
    pub(super) fn close_all(&self) {
        for activity in self.lock().open.values() {
            self.close(activity, Closed::Stopping);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing that is done under the lock leaves the table in a state that the next one cannot use.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.id);
        self.connections.released.notify_one();
    }
}

/// What one connection is doing. Times are milliseconds since the first use of [`now`]; 0 is none.
pub(super) struct Activity {
    /// Requests that wait for the server.
    active: AtomicUsize,
    /// When the last request was answered, or the connection was accepted.
    since: AtomicU64,
    /// When the first byte of an unfinished head arrived.
    reading: AtomicU64,
    /// On HTTP/2 bytes also arrive without a request, so the time of heads is not measured. hyper bounds their size, and
    /// the connection counts as idle.
    is_http2: AtomicBool,
    closed: watch::Sender<Option<Closed>>,
}

impl Activity {
    fn new() -> Self {
        Self {
            active: AtomicUsize::new(0),
            since: AtomicU64::new(now()),
            reading: AtomicU64::new(0),
            is_http2: AtomicBool::new(false),
            closed: watch::Sender::new(None),
        }
    }

    fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    fn may_be_closed(&self) -> bool {
        self.active.load(Ordering::Relaxed) == 0 && self.closed.borrow().is_none()
    }

    /// Whether a part of a request has arrived, and the rest has not.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Relaxed) != 0 && self.active.load(Ordering::Relaxed) == 0
    }

    /// Returns whether this reason is the first.
    fn close(&self, reason: Closed) -> bool {
        self.closed.send_if_modified(|closed| {
            // A connection that is being closed for another reason still has to end when the server stops.
            let changes = closed.is_none() || (reason == Closed::Stopping && *closed != Some(reason));
            if changes {
                *closed = Some(reason);
            }
            changes
        })
    }

    /// Waits until the server decides to close the connection.
    pub(super) async fn closed(&self) -> Closed {
        let mut closed = self.closed.subscribe();
        match closed.wait_for(Option::is_some).await.ok().and_then(|closed| *closed) {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    fn bytes_arrived(&self, first: &[u8]) {
        if self.active.load(Ordering::Relaxed) > 0 || self.is_http2.load(Ordering::Relaxed) {
            return;
        }
        if first.starts_with(HTTP2_PREFACE) {
            self.is_http2.store(true, Ordering::Relaxed);
            self.reading.store(0, Ordering::Relaxed);
        } else if self.reading.load(Ordering::Relaxed) == 0 {
            self.reading.store(now(), Ordering::Relaxed);
        }
    }

    /// A whole head has arrived. Bytes that follow belong to the body, which has a deadline of its own.
    pub(super) fn head_arrived(&self) {
        self.reading.store(READING_BODY, Ordering::Relaxed);
    }

    /// The response was handed to the connection.
    pub(super) fn answered(&self) {
        self.since.store(now(), Ordering::Relaxed);
        self.reading.store(0, Ordering::Relaxed);
    }

    /// A whole request has arrived; it is active until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        self.active.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }
}

/// A request that waits for the server.
pub struct ActiveRequest(Arc<Activity>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

fn now() -> u64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

fn elapsed(since: u64, now: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(since))
}

/// A stream that reports to [`Activity`] when bytes arrive.
pub(super) struct Observed<S> {
    stream: S,
    activity: Arc<Activity>,
    /// The first bytes of the connection, until there are enough to recognise the protocol.
    first: Vec<u8>,
}

impl<S> Observed<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, first: Vec::new() }
    }

    fn observe(&mut self, bytes: &[u8]) {
        if self.first.len() < HTTP2_PREFACE.len() {
            let missing = HTTP2_PREFACE.len() - self.first.len();
            self.first.extend(bytes.iter().take(missing));
        }
        self.activity.bytes_arrived(&self.first);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.observe(&buffer.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

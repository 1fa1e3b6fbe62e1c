//! A connection pool that only returns connections to a database that accepts writes, as libpq's
//! `target_session_attrs=read-write` (PostgreSQL documentation §32.1.2) does. Every statement on a connection has a
//! deadline (docs/decisions/0021).

mod connection;
mod deadlines;
mod executor;
mod opening;
mod shared_session;
mod target;
mod transaction;
mod writability;

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::join_all;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::deadlines::timed_out;
use self::writability::Writability;

pub(super) use self::connection::Connection;
pub(super) use self::deadlines::Deadlines;
pub(super) use self::target::Target;
pub(super) use self::transaction::Transaction;
pub(super) use self::writability::suspect;

/// How long the test of a connection may take.
const TEST: Duration = Duration::from_millis(400);
/// The maximum age of a connection, plus up to [`JITTER`], so that connections are not all replaced at the same time.
const SHORTEST_LIFETIME: Duration = Duration::from_mins(27);
const JITTER: Duration = Duration::from_mins(3);
/// A connection that was idle for longer is closed.
const IDLE_LIFETIME: Duration = Duration::from_mins(10);
const REAP_INTERVAL: Duration = Duration::from_secs(30);
/// Pauses between attempts to connect while the database refuses connections.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How long closing the pool waits for running operations.
const CLOSE: Duration = Duration::from_secs(5);
/// How long the orderly end of one connection may take.
const TERMINATE: Duration = Duration::from_secs(1);
/// How long a transaction may be idle before PostgreSQL ends it. Only a transaction of a lost process is idle for so long.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);
/// The same for a transaction that only holds an advisory lock while other connections work.
const IDLE_IN_GUARD: Duration = Duration::from_mins(15);

/// A pool of connections that accept writes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    inner: Arc<PoolInner>,
    deadlines: Deadlines,
}

#[derive(Debug)]
struct PoolInner {
    target: ArcSwap<Target>,
    /// The index of the server that accepted writes the last time.
    last_server: AtomicUsize,
    /// Whether a pooler refused the parameter by which it is found.
    refuses_parameters: AtomicBool,
    /// Whether the last new connection had a shared session.
    is_shared: AtomicBool,
    /// One permit for each connection in use. The holder of a permit opens a connection only if none is idle, so that there
    /// are never more connections than permits.
    permits: Arc<Semaphore>,
    max_connections: u32,
    /// The most recently used connection is the last one.
    idle: Mutex<Vec<Idle>>,
    open: Arc<AtomicU32>,
    is_closed: AtomicBool,
    writability: Writability,
}

#[derive(Debug)]
struct Idle {
    opened: Opened,
    since: Instant,
}

/// A connection to the database. Dropping it closes the socket.
#[derive(Debug)]
struct Opened {
    connection: PgConnection,
    session: Session,
    expires_at: Instant,
    _counted: Counted,
}

/// Whose the session of the database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Session {
    /// The connection's own, until it is closed.
    Own,
    /// A pooler may give it to another client after each transaction.
    Shared,
}

/// Counts one connection while it exists.
#[derive(Debug)]
struct Counted(Arc<AtomicU32>);

impl Counted {
    fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Opened {
    async fn terminate(self) {
        // After an error the socket is closed too.
        let _ = timeout(TERMINATE, self.connection.close()).await;
    }
}

impl PoolInner {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all idle connections out of use after a connection did not answer in time. They may be silent too, and a request
    /// that used one would notice only at its own deadline. Those that answer a test become idle again.
    fn observe_silence(self: &Arc<Self>) {
        let suspected = std::mem::take(&mut *self.idle());
        tracing::warn!(
            tested = suspected.len(),
            "the database did not answer in time; testing idle connections"
        );
        let tests = suspected.into_iter().map(|Idle { mut opened, .. }| {
            let pool = Arc::clone(self);
            async move {
                let test = timeout(TEST, pool.writability.test(&mut opened.connection));
                if matches!(test.await, Ok(Ok(None))) {
                    pool.put_back(opened);
                }
            }
        });
        tokio::spawn(join_all(tests));
    }

    fn put_back(&self, opened: Opened) {
        let has_place = self.open.load(Ordering::Relaxed) <= self.max_connections;
        if !self.is_closed.load(Ordering::Relaxed) && has_place && opened.expires_at > Instant::now() {
            self.idle().push(Idle { opened, since: Instant::now() });
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(opened.terminate());
        }
    }

    /// Returns an idle connection or opens one.
    async fn take(self: &Arc<Self>, end: Instant) -> Result<Opened, sqlx::Error> {
        loop {
            let Some(idle) = self.idle().pop() else { break };
            if let Some(opened) = self.test_idle(idle, end).await {
                return Ok(opened);
            }
        }
        self.open(end).await
    }

    async fn test_idle(self: &Arc<Self>, idle: Idle, end: Instant) -> Option<Opened> {
        let Idle { mut opened, since } = idle;
        if opened.expires_at <= Instant::now() {
            tokio::spawn(opened.terminate());
            return None;
        }
        if !self.writability.is_test_due(since.elapsed()) {
            return Some(opened);
        }
        let end = end.min(Instant::now() + TEST);
        match timeout_at(end, self.writability.test(&mut opened.connection)).await {
            Ok(Ok(None)) => Some(opened),
            Ok(Ok(Some(_))) => {
                tokio::spawn(opened.terminate());
                None
            }
            Ok(Err(_)) => None,
            Err(_) => {
                self.observe_silence();
                None
            }
        }
    }

    /// Opens a connection. Retries while the database is starting or has no free connection.
    async fn open(&self, end: Instant) -> Result<Opened, sqlx::Error> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            match self.open_once(end).await {
                Err(error) if is_temporary(&error) && Instant::now() + pause < end => sleep(pause).await,
                outcome => return outcome,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn open_once(&self, end: Instant) -> Result<Opened, sqlx::Error> {
        let target = self.target.load_full();
        let counted = Counted::new(&self.open);
        let opening = timeout_at(end, self.connect(&target)).await;
        let (connection, session) = opening.unwrap_or_else(|_| Err(timed_out()))?;
        Ok(Opened { connection, session, expires_at: Instant::now() + lifetime(), _counted: counted })
    }

    /// Closes connections that have existed or been idle for too long.
    async fn reap(pool: Weak<Self>) {
        loop {
            sleep(REAP_INTERVAL).await;
            let Some(pool) = pool.upgrade() else { return };
            let now = Instant::now();
            let ends = |idle: &Idle| idle.opened.expires_at <= now || now - idle.since > IDLE_LIFETIME;
            let ended: Vec<_> = {
                let mut idle = pool.idle();
                let (ended, rest) = std::mem::take(&mut *idle).into_iter().partition(ends);
                *idle = rest;
                ended
            };
            join_all(ended.into_iter().map(|idle| idle.opened.terminate())).await;
        }
    }
}

/// Whether the database may accept a connection a moment later.
fn is_temporary(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        // cannot_connect_now, too_many_connections
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

fn lifetime() -> Duration {
    let part = u32::try_from(RandomState::new().hash_one(()) % 1_000).unwrap_or(0);
    SHORTEST_LIFETIME + JITTER / 1_000 * part
}

impl Pool {
    /// Creates a pool that opens its first connection when it is first used.
    pub(super) fn connect_lazily(target: Target, max_connections: u32, deadlines: Deadlines) -> Self {
        let inner = Arc::new(PoolInner {
            target: ArcSwap::from_pointee(target),
            last_server: AtomicUsize::new(0),
            refuses_parameters: AtomicBool::new(false),
            is_shared: AtomicBool::new(false),
            permits: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
            idle: Mutex::new(Vec::new()),
            open: Arc::new(AtomicU32::new(0)),
            is_closed: AtomicBool::new(false),
            writability: Writability::unknown(),
        });
        tokio::spawn(PoolInner::reap(Arc::downgrade(&inner)));
        Self { inner, deadlines }
    }

    /// The same pool with other deadlines.
    pub(super) fn with(&self, deadlines: Deadlines) -> Self {
        Self { inner: Arc::clone(&self.inner), deadlines }
    }

    /// Returns a connection that accepts writes.
    pub(super) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        let end = Instant::now() + self.deadlines.acquire;
        let refused = self.inner.writability.refused();
        let (opened, permit) = tokio::select! {
            // Biased, so that no connection is opened during the pause after a refusal.
            biased;
            reason = refused => Err(reason.into()),
            taken = self.take(end) => taken,
        }?;
        Ok(Connection::new(opened, permit, Arc::clone(&self.inner), self.deadlines))
    }

    async fn take(&self, end: Instant) -> Result<(Opened, OwnedSemaphorePermit), sqlx::Error> {
        if self.inner.is_closed.load(Ordering::Relaxed) {
            return Err(sqlx::Error::PoolClosed);
        }
        let permit = match timeout_at(end, Arc::clone(&self.inner.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(sqlx::Error::PoolClosed),
            Err(_) => return Err(sqlx::Error::PoolTimedOut),
        };
        Ok((self.inner.take(end).await?, permit))
    }

    /// Returns a connection after testing it.
    pub(super) async fn acquire_tested(&self) -> Result<Connection, sqlx::Error> {
        let mut connection = self.acquire().await?;
        connection.test().await?;
        Ok(connection)
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        self.begin_idle_for(IDLE_IN_TRANSACTION).await
    }

    /// Begins a transaction that only holds an advisory lock while other connections work.
    pub(super) async fn begin_guard(&self) -> Result<Transaction, sqlx::Error> {
        self.begin_idle_for(IDLE_IN_GUARD).await
    }

    async fn begin_idle_for(&self, idle_limit: Duration) -> Result<Transaction, sqlx::Error> {
        let mut connection = self.acquire().await?;
        connection.begin(idle_limit).await?;
        Ok(Transaction(connection))
    }

    /// The number of open and of idle connections.
    pub(super) fn size(&self) -> (u32, usize) {
        (self.inner.open.load(Ordering::Relaxed), self.inner.idle().len())
    }

    /// The largest number of connections.
    pub(super) fn max_connections(&self) -> u32 {
        self.inner.max_connections
    }

    /// Waits for running operations, then closes every connection.
    pub(super) async fn close(&self) {
        self.inner.is_closed.store(true, Ordering::Relaxed);
        let all = self.inner.permits.acquire_many(self.inner.max_connections);
        // Operations that are still running end with the process.
        let _ = timeout(CLOSE, all).await;
        self.inner.permits.close();
        let idle = std::mem::take(&mut *self.inner.idle());
        join_all(idle.into_iter().map(|idle| idle.opened.terminate())).await;
    }

    /// Whether a connection pooler shares sessions between its clients, as the last new connection has shown.
    pub(super) fn is_shared(&self) -> bool {
        self.inner.is_shared.load(Ordering::Relaxed)
    }

    pub(super) fn target(&self) -> Arc<Target> {
        self.inner.target.load_full()
    }

    /// Sets how connections are opened from now on.
    pub(super) fn set_target(&self, target: Target) {
        self.inner.refuses_parameters.store(false, Ordering::Relaxed);
        self.inner.target.store(Arc::new(target));
    }
}

//! A connection pool that only returns connections to a database that accepts writes, as libpq's
//! `target_session_attrs=read-write` (PostgreSQL documentation §32.1.2) does. A hot standby accepts reads, but its
//! data may lack the latest revocations.
//!
//! The pool tests a connection when it is opened, after it was idle, and before every use for some time after a
//! read-only connection was found. A primary closes its connections before it becomes a standby, but a proxy may move
//! a connection to another server, and a configuration reload may make a server read-only.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use sqlx::pool::{PoolConnection, PoolConnectionMetadata};
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo,
};
use sqlx::{Either, Execute, Executor, Postgres, Row as _, SqlStr};
use tokio::sync::watch;

use super::read_only::ReadOnly;

/// A connection that was idle for longer is tested before its next use.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);
/// The pool tests at least one connection in this interval, even if all are busy.
const TEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long every use of a connection is preceded by a test after a read-only connection was found.
const SUSPICION_PERIOD: Duration = Duration::from_secs(30);
/// How long the pool opens no connection after it refused one, so that requests do not overload a standby.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(250);

/// A pool of connections that accept writes. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    inner: PgPool,
    state: Arc<PoolState>,
}

struct PoolState {
    /// The last refusal of a new connection.
    refusal: watch::Sender<Option<(Instant, ReadOnly)>>,
    /// Whether the last test failed, so that only changes are logged.
    refused: AtomicBool,
    /// The time of the last test.
    tested: Moment,
}

impl fmt::Debug for PoolState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolState").field("refusal", &*self.refusal.borrow()).finish_non_exhaustive()
    }
}

/// An atomic point in time in milliseconds since the first use of any `Moment`; 0 means none.
#[derive(Default)]
struct Moment(AtomicU64);

impl Moment {
    const fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    fn set_to_now(&self) {
        self.0.store(now_ms(), Ordering::Relaxed);
    }

    fn is_within(&self, period: Duration) -> bool {
        let at = self.0.load(Ordering::Relaxed);
        at != 0 && now_ms().saturating_sub(at) < u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
    }
}

fn now_ms() -> u64 {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// When a read-only connection was last found in this process. It is shared by all pools, because an error does not
/// identify the pool of its connection. An unnecessary test costs one round trip.
static SUSPECTED: Moment = Moment::none();

/// Makes every pool test each connection before its next use.
pub(super) fn suspect() {
    SUSPECTED.set_to_now();
}

/// Returns why a connection does not accept writes, or `None` if it does.
pub(super) async fn find_read_only(connection: &mut PgConnection) -> Result<Option<ReadOnly>, sqlx::Error> {
    // The simple protocol takes one round trip and needs no prepared statement, which a transaction-pooling proxy
    // could lose.
    let row = sqlx::raw_sql("SELECT pg_is_in_recovery()::text, current_setting('transaction_read_only')")
        .fetch_one(connection)
        .await?;
    let (in_recovery, read_only): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(match (in_recovery.as_str(), read_only.as_str()) {
        ("false", "off") => None,
        ("false", _) => Some(ReadOnly::Default),
        _ => Some(ReadOnly::Standby),
    })
}

impl PoolState {
    /// Tests a connection and records the result.
    async fn test(&self, connection: &mut PgConnection) -> Result<Option<ReadOnly>, sqlx::Error> {
        self.tested.set_to_now();
        let found = find_read_only(connection).await?;
        if let Some(reason) = found {
            suspect();
            if !self.refused.swap(true, Ordering::Relaxed) {
                tracing::error!(%reason, "a database connection was refused");
            }
        } else if self.refused.swap(false, Ordering::Relaxed) {
            tracing::info!("the database accepts writes again");
        }
        Ok(found)
    }

    async fn test_new(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some(reason) = self.test(connection).await? else { return Ok(()) };
        self.refusal.send_replace(Some((Instant::now(), reason)));
        Err(reason.into())
    }

    /// Tests an open connection if a test is due, and returns whether it may be used.
    async fn test_open(
        &self,
        connection: &mut PgConnection,
        usage: PoolConnectionMetadata,
    ) -> Result<bool, sqlx::Error> {
        let due = usage.idle_for > TEST_AFTER_IDLE
            || SUSPECTED.is_within(SUSPICION_PERIOD)
            || !self.tested.is_within(TEST_INTERVAL);
        Ok(!due || self.test(connection).await?.is_none())
    }
}

impl Pool {
    /// Creates a pool that opens its first connection when it is first used.
    pub(super) fn connect_lazily(
        options: PgConnectOptions,
        max_connections: u32,
        acquire_timeout: Duration,
    ) -> Self {
        let state = Arc::new(PoolState {
            refusal: watch::Sender::new(None),
            refused: AtomicBool::new(false),
            tested: Moment::none(),
        });
        let (new, open) = (Arc::clone(&state), Arc::clone(&state));
        let inner = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(acquire_timeout)
            // sqlx's ping would cost a round trip at every use; `test_open` tests when a test is due.
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let state = Arc::clone(&new);
                Box::pin(async move { state.test_new(connection).await })
            })
            .before_acquire(move |connection, usage| {
                let state = Arc::clone(&open);
                Box::pin(async move { state.test_open(connection, usage).await })
            })
            .connect_lazy_with(options);
        Self { inner, state }
    }

    /// Returns a connection that accepts writes.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let refused = self.refused();
        tokio::select! {
            // Biased, so that no connection is opened during the pause after a refusal.
            biased;
            reason = refused => Err(reason.into()),
            connection = self.inner.acquire() => connection,
        }
    }

    /// Returns a connection after testing it.
    pub(super) async fn acquire_tested(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = self.acquire().await?;
        match self.state.test(&mut connection).await? {
            None => Ok(connection),
            Some(reason) => {
                // The connection must not return to the pool; an error while closing it changes nothing.
                let _ = connection.close().await;
                Err(reason.into())
            }
        }
    }

    /// Begins a transaction on a connection that accepts writes.
    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, Postgres>, sqlx::Error> {
        sqlx::Transaction::begin(self.acquire().await?, None).await
    }

    /// The number of open and of idle connections.
    pub(super) fn size(&self) -> (u32, usize) {
        (self.inner.size(), self.inner.num_idle())
    }

    /// Waits for running queries, then closes every connection.
    pub(super) async fn close(&self) {
        self.inner.close().await;
    }

    pub(super) fn connect_options(&self) -> Arc<PgConnectOptions> {
        self.inner.connect_options()
    }

    /// Sets the options of connections that are opened from now on.
    pub(super) fn set_connect_options(&self, options: PgConnectOptions) {
        self.inner.set_connect_options(options);
    }

    /// Waits until a new connection is refused, or returns immediately during the pause after a refusal. Without it a
    /// request would wait while the pool retries, and then fail with a timeout that does not name the cause.
    fn refused(&self) -> impl Future<Output = ReadOnly> + Send + use<> {
        let mut refusals = self.state.refusal.subscribe();
        let since = Instant::now().checked_sub(PAUSE_AFTER_REFUSAL);
        async move {
            let newer = |refusal: &Option<(Instant, ReadOnly)>| {
                refusal.is_some_and(|(at, _)| since.is_none_or(|since| at > since))
            };
            let found = refusals.wait_for(newer).await.ok().and_then(|refusal| *refusal);
            match found {
                Some((_, reason)) => reason,
                // The sender lives as long as the pool, so this happens only after all callers are gone.
                None => std::future::pending().await,
            }
        }
    }
}

type Step = Result<Either<PgQueryResult, PgRow>, sqlx::Error>;

impl<'p> Executor<'p> for &Pool {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.execute(query).await })
    }

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let refused = self.refused().boxed();
        Box::pin(Rows { refused: Some(refused), steps: self.inner.fetch_many(query) })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { pool.acquire().await?.describe(sql).await })
    }
}

/// The results of a query, which ends early if the pool refuses the connection.
struct Rows<'e> {
    /// Present until the first result.
    refused: Option<BoxFuture<'static, ReadOnly>>,
    steps: BoxStream<'e, Step>,
}

impl futures::Stream for Rows<'_> {
    type Item = Step;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Step>> {
        if let Some(refused) = &mut self.refused
            && let Poll::Ready(reason) = refused.poll_unpin(context)
        {
            self.refused = None;
            self.steps = futures::stream::empty().boxed();
            return Poll::Ready(Some(Err(reason.into())));
        }
        let step = self.steps.poll_next_unpin(context);
        if step.is_ready() {
            self.refused = None;
        }
        step
    }
}

//! The connection pool. It hands out connections to a database that accepts writes, and no others: the rule of libpq's
//! `target_session_attrs=read-write` (PostgreSQL documentation §32.1.2). A hot standby answers every read, from a past that
//! may miss the latest revocation.
//!
//! A connection is tested when it is made, after it was idle, and at every use while there is suspicion: a primary does not
//! become a standby without closing its connections, but a proxy may move one, and a reload may make a server read-only.

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

/// A connection that was idle longer is tested before it is used.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);
/// One connection is tested at least this often, however busy all of them are.
const TEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long every connection is tested before each use after one was found that accepts no writes.
const SUSPICION: Duration = Duration::from_secs(30);
/// How long no connection is opened after one was refused, so that requests do not overwhelm a standby.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(250);
/// A pool of connections that may write. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    inner: PgPool,
    state: Arc<PoolState>,
}

/// What is known about the connections of a pool.
struct PoolState {
    /// The last connection that was refused when it was made.
    refusal: watch::Sender<Option<(Instant, ReadOnly)>>,
    /// Whether the last test failed: only a change is logged.
    refused: AtomicBool,
    /// When a connection was last tested.
    tested: Moment,
}

impl fmt::Debug for PoolState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolState").field("refusal", &*self.refusal.borrow()).finish_non_exhaustive()
    }
}

/// A point in time that several threads set and read, in milliseconds since the first use of any; 0 is none.
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

/// When a connection of this process was last found to accept no writes. One for the process, since an error does not say
/// which pool its connection is of; the price of a wrong suspicion is a round trip.
static SUSPECTED: Moment = Moment::none();

/// Makes every pool test each connection before its next use.
pub(super) fn suspect() {
    SUSPECTED.set_to_now();
}

/// Whether a connection accepts writes by default; `None` if it does.
pub(super) async fn find_read_only(connection: &mut PgConnection) -> Result<Option<ReadOnly>, sqlx::Error> {
    // The simple protocol: one round trip, and nothing that a proxy between transactions could lose.
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
    /// Tests a connection and takes note of the outcome.
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

    /// Whether an open connection may be used.
    async fn test_open(
        &self,
        connection: &mut PgConnection,
        usage: PoolConnectionMetadata,
    ) -> Result<bool, sqlx::Error> {
        let due = usage.idle_for > TEST_AFTER_IDLE
            || SUSPECTED.is_within(SUSPICION)
            || !self.tested.is_within(TEST_INTERVAL);
        Ok(!due || self.test(connection).await?.is_none())
    }
}

impl Pool {
    /// A pool that connects when it is first asked. `patience` is how long it then tries.
    pub(super) fn connect_lazily(
        options: PgConnectOptions,
        max_connections: u32,
        patience: Duration,
    ) -> Self {
        let state = Arc::new(PoolState {
            refusal: watch::Sender::new(None),
            refused: AtomicBool::new(false),
            tested: Moment::none(),
        });
        let (new, open) = (Arc::clone(&state), Arc::clone(&state));
        let inner = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(patience)
            // A connection that was in use a moment ago needs no round trip to see that it still is.
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

    /// A connection that may write.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let refused = self.refused();
        tokio::select! {
            // In this order: while connections are refused, none is opened.
            biased;
            reason = refused => Err(reason.into()),
            connection = self.inner.acquire() => connection,
        }
    }

    /// A connection that was tested just now.
    pub(super) async fn acquire_tested(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let mut connection = self.acquire().await?;
        match self.state.test(&mut connection).await? {
            None => Ok(connection),
            Some(reason) => {
                // It is not to go back; that closing it fails makes no difference.
                let _ = connection.close().await;
                Err(reason.into())
            }
        }
    }

    /// A transaction on such a connection.
    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, Postgres>, sqlx::Error> {
        sqlx::Transaction::begin(self.acquire().await?, None).await
    }

    /// Connections that exist, and how many of them are idle.
    pub(super) fn size(&self) -> (u32, usize) {
        (self.inner.size(), self.inner.num_idle())
    }

    /// Waits for running queries, then closes every connection.
    pub(super) async fn close(&self) {
        self.inner.close().await;
    }

    /// How connections are opened.
    pub(super) fn connect_options(&self) -> Arc<PgConnectOptions> {
        self.inner.connect_options()
    }

    /// Opens connections like this from now on.
    pub(super) fn set_connect_options(&self, options: PgConnectOptions) {
        self.inner.set_connect_options(options);
    }

    /// Waits until a new connection is refused, or returns at once shortly after one was. Without it a request would wait
    /// while the pool tries again and again, and would then be told only that it took too long.
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
                // The pool is gone, and with it every caller.
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

/// The rows of a query on a connection that is yet to be found.
struct Rows<'e> {
    /// Until the first row.
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

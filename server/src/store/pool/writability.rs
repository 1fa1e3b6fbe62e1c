//! Tests whether a connection accepts writes. A hot standby accepts reads, but its data may lack the latest revocations.
//!
//! The pool tests a connection when it is opened, after it was idle, and before every use for some time after a
//! read-only connection was found. A primary closes its connections before it becomes a standby, but a proxy may move
//! a connection to another server, and a configuration reload may make a server read-only.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;

use crate::store::read_only::ReadOnly;

/// A connection that was idle for longer is tested before its next use.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);
/// The pool tests at least one connection in this interval, even if all are busy.
const TEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long every use of a connection is preceded by a test after a read-only connection was found.
const SUSPICION_PERIOD: Duration = Duration::from_secs(30);
/// How long the pool opens no connection after it refused one, so that requests do not overload a standby.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(250);

/// An atomic point in time in milliseconds since the first use of any `Moment`; 0 means none.
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
pub(crate) fn suspect() {
    SUSPECTED.set_to_now();
}

/// The simple protocol takes one round trip and needs no prepared statement, which a transaction-pooling proxy could lose.
const TEST: &str = "SELECT pg_is_in_recovery()::text, current_setting('transaction_read_only'),
                           current_setting('latchkey.session', true)";

/// Returns why a connection does not accept writes, or `None` if it does; and the value of the parameter by which a new
/// connection finds out whether the session is its own.
async fn inspect(connection: &mut PgConnection) -> Result<(Option<ReadOnly>, Option<String>), sqlx::Error> {
    let row = sqlx::raw_sql(TEST).fetch_one(connection).await?;
    let (in_recovery, read_only): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let reason = match (in_recovery.as_str(), read_only.as_str()) {
        ("false", "off") => None,
        ("false", _) => Some(ReadOnly::Default),
        _ => Some(ReadOnly::Standby),
    };
    Ok((reason, row.try_get(2)?))
}

/// The results of the tests of a pool's connections.
pub(super) struct Writability {
    /// The last refusal of a new connection.
    refusal: watch::Sender<Option<(Instant, ReadOnly)>>,
    /// Whether the last test failed, so that only changes are logged.
    refused: AtomicBool,
    /// The time of the last test.
    tested: Moment,
}

impl fmt::Debug for Writability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writability").field("refusal", &*self.refusal.borrow()).finish_non_exhaustive()
    }
}

impl Writability {
    pub(super) fn unknown() -> Self {
        Self { refusal: watch::Sender::new(None), refused: AtomicBool::new(false), tested: Moment::none() }
    }

    /// Tests a connection and records the result.
    pub(super) async fn test(&self, connection: &mut PgConnection) -> Result<Option<ReadOnly>, sqlx::Error> {
        let (found, _) = self.inspect_new(connection).await?;
        self.record(found);
        Ok(found)
    }

    /// Tests a new connection. The result is recorded when all servers have answered, or one accepts writes.
    pub(super) async fn inspect_new(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(Option<ReadOnly>, Option<String>), sqlx::Error> {
        self.tested.set_to_now();
        inspect(connection).await
    }

    /// Records the result of a test.
    pub(super) fn record(&self, found: Option<ReadOnly>) {
        if let Some(reason) = found {
            suspect();
            if !self.refused.swap(true, Ordering::Relaxed) {
                tracing::error!(%reason, "a database connection was refused");
            }
        } else if self.refused.swap(false, Ordering::Relaxed) {
            tracing::info!("the database accepts writes again");
        }
    }

    /// Records that no server accepts writes.
    pub(super) fn refuse(&self, reason: ReadOnly) {
        self.record(Some(reason));
        self.refusal.send_replace(Some((Instant::now(), reason)));
    }

    /// Whether a connection that was idle for this long has to be tested before it is used.
    pub(super) fn is_test_due(&self, idle_for: Duration) -> bool {
        idle_for > TEST_AFTER_IDLE
            || SUSPECTED.is_within(SUSPICION_PERIOD)
            || !self.tested.is_within(TEST_INTERVAL)
    }

    /// Waits until a new connection is refused, or returns immediately during the pause after a refusal. Without it a
    /// request would wait while the pool retries, and then fail with a timeout that does not name the cause.
    pub(super) fn refused(&self) -> impl Future<Output = ReadOnly> + Send + use<> {
        let mut refusals = self.refusal.subscribe();
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

//! Whether a connection accepts writes. A hot standby answers every read, from a past that may miss the latest revocation.
//!
//! A connection is tested when it is made, after it was idle, and at every use while there is suspicion: a primary does not
//! become a standby without closing its connections, but a proxy may move one, and a reload may make a server read-only.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;

use crate::store::read_only::ReadOnly;

/// A connection that was idle longer is tested before it is used.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);
/// One connection is tested at least this often, however busy all of them are.
const TEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long every connection is tested before each use after one was found that accepts no writes.
const SUSPICION: Duration = Duration::from_secs(30);
/// How long no connection is opened after one was refused, so that requests do not overwhelm a standby.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(250);

/// A point in time that several threads set and read, in milliseconds since the first use of any; 0 is none.
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
pub(in crate::store) fn suspect() {
    SUSPECTED.set_to_now();
}

/// Whether a connection accepts writes by default; `None` if it does.
async fn find_read_only(connection: &mut PgConnection) -> Result<Option<ReadOnly>, sqlx::Error> {
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

/// What the tests of a pool's connections have found.
pub(super) struct Writability {
    /// The last connection that was refused when it was made.
    refusal: watch::Sender<Option<(Instant, ReadOnly)>>,
    /// Whether the last test failed: only a change is logged.
    refused: AtomicBool,
    /// When a connection was last tested.
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

    /// Tests a connection and stores the outcome.
    pub(super) async fn test(&self, connection: &mut PgConnection) -> Result<Option<ReadOnly>, sqlx::Error> {
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

    /// Tests a new connection.
    pub(super) async fn test_new(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some(reason) = self.test(connection).await? else { return Ok(()) };
        self.refusal.send_replace(Some((Instant::now(), reason)));
        Err(reason.into())
    }

    /// Whether a connection that was idle for this long has to be tested before it is used.
    pub(super) fn is_test_due(&self, idle_for: Duration) -> bool {
        idle_for > TEST_AFTER_IDLE || SUSPECTED.is_within(SUSPICION) || !self.tested.is_within(TEST_INTERVAL)
    }

    /// Waits until a new connection is refused, or returns at once shortly after one was. Without it a request would wait
    /// while the pool tries again and again, and would then be told only that it took too long.
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
                // The pool is gone, and with it every caller.
                None => std::future::pending().await,
            }
        }
    }
}

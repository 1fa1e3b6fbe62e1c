//! A connection in use by one operation. Each statement has a deadline. When it expires, the connection is closed, because
//! its socket may stay silent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use sqlx::postgres::{PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Either, Execute, Executor, Postgres, SqlStr};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::deadlines::{Deadlines, timed_out};
use super::shared_session::{self, Results};
use super::{Opened, PoolInner, Session};

/// How long the clean-up of a connection that was dropped in the middle of a statement or a transaction may take.
const CLEAN_UP: Duration = Duration::from_secs(1);

pub(super) type Step = Result<Either<PgQueryResult, PgRow>, sqlx::Error>;

/// A connection of the pool. Dropping it returns it.
pub(crate) struct Connection {
    /// `None` only while it is being dropped.
    opened: Option<Opened>,
    usage: Usage,
    /// Held until the connection is back in the pool or closed.
    permit: Option<OwnedSemaphorePermit>,
}

/// The protocol state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// The answer of the last statement was read completely.
    Ready,
    /// A statement was sent, and its answer was not read to the end.
    Unread,
    /// It was lost or did not answer in time.
    Broken,
}

struct Usage {
    protocol: Protocol,
    in_transaction: bool,
    /// Whether `BEGIN` has set the limits for waiting.
    may_lock: bool,
    deadlines: Deadlines,
    pool: Arc<PoolInner>,
}

impl Usage {
    fn deadline(&self) -> Instant {
        let Deadlines { statement, locking, .. } = self.deadlines;
        Instant::now() + if self.may_lock { locking } else { statement }
    }

    fn expire(&mut self) -> sqlx::Error {
        self.protocol = Protocol::Broken;
        self.pool.observe_silence();
        timed_out()
    }

    fn finish(&mut self, error: Option<&sqlx::Error>) {
        self.protocol = match error {
            None | Some(sqlx::Error::RowNotFound) => Protocol::Ready,
            // PostgreSQL has answered; the messages after the error are still unread.
            Some(sqlx::Error::Database(_) | sqlx::Error::Encode(_)) => Protocol::Unread,
            Some(_) => Protocol::Broken,
        };
    }

    async fn limit<T>(
        &mut self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        self.protocol = Protocol::Unread;
        match timeout_at(self.deadline(), work).await {
            Ok(result) => {
                self.finish(result.as_ref().err());
                result
            }
            Err(_) => Err(self.expire()),
        }
    }
}

impl Connection {
    pub(super) fn new(
        opened: Opened,
        permit: OwnedSemaphorePermit,
        pool: Arc<PoolInner>,
        deadlines: Deadlines,
    ) -> Self {
        let usage =
            Usage { protocol: Protocol::Ready, in_transaction: false, may_lock: false, deadlines, pool };
        Self { opened: Some(opened), usage, permit: Some(permit) }
    }

    fn parts(&mut self) -> Result<(&mut PgConnection, &mut Usage), sqlx::Error> {
        match (&mut self.opened, self.usage.protocol) {
            (Some(opened), Protocol::Ready | Protocol::Unread) => {
                Ok((&mut opened.connection, &mut self.usage))
            }
            _ => Err(timed_out()),
        }
    }

    fn is_shared(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.session == Session::Shared)
    }

    /// Runs a statement in a session that is shared. The deadline includes its transaction.
    async fn run_shared<'q, E>(&mut self, query: E) -> Result<Results, sqlx::Error>
    where
        E: Execute<'q, Postgres> + 'q,
    {
        let (connection, usage) = self.parts()?;
        if usage.in_transaction {
            return usage.limit(shared_session::run(connection, query)).await;
        }
        // If this is cancelled, the transaction is rolled back.
        usage.in_transaction = true;
        let limit = usage.deadlines.statement;
        let results = usage.limit(shared_session::run_alone(connection, query, limit)).await;
        usage.in_transaction = false;
        results
    }

    /// Tests whether it accepts writes.
    pub(super) async fn test(&mut self) -> Result<(), sqlx::Error> {
        let (connection, usage) = self.parts()?;
        let pool = Arc::clone(&usage.pool);
        let found = usage.limit(pool.writability.test(connection)).await?;
        let Some(reason) = found else { return Ok(()) };
        self.usage.protocol = Protocol::Broken;
        Err(reason.into())
    }

    /// Runs a statement that PostgreSQL refuses to run in a transaction. It has no parameters and is not prepared, so that a
    /// connection pooler serves it too.
    pub(in crate::store) async fn execute_outside_transaction(
        &mut self,
        sql: String,
    ) -> Result<(), sqlx::Error> {
        let (connection, usage) = self.parts()?;
        usage.limit(connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)))).await?;
        Ok(())
    }

    /// Begins a transaction. PostgreSQL cancels a statement that waits for a lock or runs for longer than the deadline allows,
    /// so that the connection remains usable. It ends the transaction when this process is lost, which releases its locks.
    pub(super) async fn begin(&mut self, idle_limit: Duration) -> Result<(), sqlx::Error> {
        let deadlines = self.usage.deadlines;
        // SET LOCAL ends with the transaction: a transaction-pooling proxy gives the session to other clients.
        let begin = format!(
            "BEGIN TRANSACTION; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
             SET LOCAL idle_in_transaction_session_timeout = {}",
            deadlines.lock_timeout().as_millis(),
            deadlines.statement_timeout().as_millis(),
            idle_limit.as_millis()
        );
        self.usage.in_transaction = true;
        (&mut *self).execute(sqlx::raw_sql(sqlx::AssertSqlSafe(begin))).await?;
        self.usage.may_lock = true;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        (&mut *self).execute(sqlx::raw_sql("COMMIT")).await?;
        self.usage.in_transaction = false;
        self.usage.may_lock = false;
        Ok(())
    }
}

impl Drop for Connection {
    /// A connection whose last answer is complete returns without a round trip. Otherwise a task first ends the transaction
    /// and reads the rest of the answer.
    fn drop(&mut self) {
        let (Some(opened), permit) = (self.opened.take(), self.permit.take()) else { return };
        let pool = Arc::clone(&self.usage.pool);
        match (self.usage.protocol, self.usage.in_transaction) {
            (Protocol::Broken, _) => drop(opened),
            (Protocol::Ready, false) => pool.put_back(opened),
            (_, in_transaction) => {
                // Without a runtime the process is about to end.
                let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
                runtime.spawn(async move {
                    if let Some(opened) = clean_up(opened, in_transaction).await {
                        pool.put_back(opened);
                    }
                    drop(permit);
                });
            }
        }
    }
}

fn cannot_prepare() -> sqlx::Error {
    sqlx::Error::Protocol("a statement cannot be prepared in a session that is shared".to_owned())
}

async fn clean_up(mut opened: Opened, in_transaction: bool) -> Option<Opened> {
    let connection = &mut opened.connection;
    let cleaning = async {
        if in_transaction {
            sqlx::raw_sql("ROLLBACK").execute(connection).await.map(|_| ())
        } else {
            connection.ping().await
        }
    };
    let done = matches!(timeout(CLEAN_UP, cleaning).await, Ok(Ok(())));
    done.then_some(opened)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("protocol", &self.usage.protocol).finish_non_exhaustive()
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            if self.is_shared() {
                return Ok(self.run_shared(query).await?.into_changes());
            }
            let (connection, usage) = self.parts()?;
            usage.limit(connection.execute(query)).await
        })
    }

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.is_shared() {
            let results = stream::once(async move { self.run_shared(query).await });
            let steps = results.map_ok(|results| stream::iter(results.into_steps().into_iter().map(Ok)));
            return steps.try_flatten().boxed();
        }
        let (connection, usage) = match self.parts() {
            Ok(parts) => parts,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let steps = Some(connection.fetch_many(query));
        stream::unfold((steps, usage), async |(steps, usage)| {
            let mut steps = steps?;
            usage.protocol = Protocol::Unread;
            match timeout_at(usage.deadline(), steps.next()).await {
                Ok(Some(Ok(step))) => Some((Ok(step), (Some(steps), usage))),
                Ok(Some(Err(error))) => {
                    usage.finish(Some(&error));
                    Some((Err(error), (None, usage)))
                }
                Ok(None) => {
                    usage.finish(None);
                    None
                }
                Err(_) => Some((Err(usage.expire()), (None, usage))),
            }
        })
        .boxed()
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            if self.is_shared() {
                return Ok(self.run_shared(query).await?.into_rows().collect());
            }
            let (connection, usage) = self.parts()?;
            usage.limit(connection.fetch_all(query)).await
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            if self.is_shared() {
                return Ok(self.run_shared(query).await?.into_rows().next());
            }
            let (connection, usage) = self.parts()?;
            usage.limit(connection.fetch_optional(query)).await
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            if self.is_shared() {
                return Err(cannot_prepare());
            }
            let (connection, usage) = self.parts()?;
            usage.limit(connection.prepare_with(sql, parameters)).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            if self.is_shared() {
                return Err(cannot_prepare());
            }
            let (connection, usage) = self.parts()?;
            usage.limit(connection.describe(sql)).await
        })
    }
}

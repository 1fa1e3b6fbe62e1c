//! Statements in a session of the database that a connection pooler may give to another client after each transaction.
//!
//! A prepared statement stays behind in such a session, where another client finds it or misses it. Each statement is therefore
//! prepared without a name and executed in the same transaction.

use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement};
use sqlx::{Either, Execute, Executor as _, Postgres, SqlStr};

/// Subtracted from the time that PostgreSQL has for a statement, so that the connection remains usable after it.
const MARGIN: Duration = Duration::from_millis(200);

/// The results of a statement: its rows, and the number of rows that it changed.
pub(super) struct Results(Vec<Either<PgQueryResult, PgRow>>);

impl Results {
    pub(super) fn into_steps(self) -> Vec<Either<PgQueryResult, PgRow>> {
        self.0
    }

    pub(super) fn into_rows(self) -> impl Iterator<Item = PgRow> {
        self.0.into_iter().filter_map(Either::right)
    }

    pub(super) fn into_changes(self) -> PgQueryResult {
        let mut changes = PgQueryResult::default();
        changes.extend(self.0.into_iter().filter_map(Either::left));
        changes
    }
}

/// Runs a statement in the transaction that was begun.
pub(super) async fn run<'q, E>(connection: &mut PgConnection, query: E) -> Result<Results, sqlx::Error>
where
    E: Execute<'q, Postgres> + 'q,
{
    Ok(Results(connection.fetch_many(Unnamed(query)).try_collect().await?))
}

/// Runs a statement in a transaction of its own, which PostgreSQL ends if the statement takes longer than `limit`.
pub(super) async fn run_alone<'q, E>(
    connection: &mut PgConnection,
    query: E,
    limit: Duration,
) -> Result<Results, sqlx::Error>
where
    E: Execute<'q, Postgres> + 'q,
{
    let limit = limit.saturating_sub(MARGIN).as_millis();
    let begin = format!("BEGIN TRANSACTION; SET LOCAL statement_timeout = {limit}");
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(begin))).await?;
    let results = run(connection, query).await;
    let end = match &results {
        Ok(_) => "COMMIT",
        Err(sqlx::Error::Database(_) | sqlx::Error::Encode(_)) => "ROLLBACK",
        // The connection is lost.
        Err(_) => return results,
    };
    connection.execute(sqlx::raw_sql(end)).await?;
    results
}

/// A statement that is prepared without a name.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

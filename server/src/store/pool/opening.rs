//! Opening a connection: to the first server that accepts writes, directly or through a connection pooler.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::deadlines::timed_out;
use super::target::Target;
use super::{PoolInner, Session};
use crate::store::read_only::ReadOnly;

/// How long one server may be silent before the next one is tried as well.
const STAGGER: Duration = Duration::from_millis(300);
/// A parameter that only this server knows. PostgreSQL accepts any name with a dot.
const SESSION: &str = "latchkey.session";

struct Attempt {
    connection: PgConnection,
    session: Session,
    read_only: Option<ReadOnly>,
}

impl PoolInner {
    /// Connects to the first server that accepts writes, as libpq's `target_session_attrs=read-write` does. It begins with the
    /// server that did so the last time. The next one is tried when one fails or is silent.
    pub(super) async fn connect(&self, target: &Target) -> Result<(PgConnection, Session), sqlx::Error> {
        let servers = &target.servers;
        let first = self.last_server.load(Ordering::Relaxed);
        let mut order = (0..servers.len()).map(|index| (first + index) % servers.len());
        let mut attempts = FuturesUnordered::new();
        let (mut read_only, mut failure) = (None, None);
        loop {
            if let Some(index) = order.next() {
                attempts.push(async move { (index, self.attempt(target, &servers[index]).await) });
            } else if attempts.is_empty() {
                break;
            }
            let stagger =
                async { if order.len() > 0 { sleep(STAGGER).await } else { std::future::pending().await } };
            let finished = tokio::select! {
                finished = attempts.next() => finished,
                () = stagger => None,
            };
            match finished {
                Some((index, Ok(Attempt { connection, session, read_only: None }))) => {
                    self.last_server.store(index, Ordering::Relaxed);
                    self.writability.record(None);
                    return Ok((connection, session));
                }
                Some((_, Ok(refused))) => read_only = refused.read_only,
                Some((_, Err(error))) => failure = Some(more_telling(failure, error)),
                None => {}
            }
        }
        match (read_only, failure) {
            (Some(reason), _) => {
                self.writability.refuse(reason);
                Err(reason.into())
            }
            (None, failure) => Err(failure.unwrap_or_else(timed_out)),
        }
    }

    async fn attempt(&self, target: &Target, server: &PgConnectOptions) -> Result<Attempt, sqlx::Error> {
        let attempt = self.connect_to(target.pooler, server);
        match target.connect_timeout {
            Some(limit) => timeout(limit, attempt).await.unwrap_or_else(|_| Err(timed_out())),
            None => attempt.await,
        }
    }

    /// Connects and finds out whether the session of the database is the client's own. A pooler either refuses a startup
    /// parameter that it does not know, or the session does not have it.
    async fn connect_to(
        &self,
        pooler: Option<bool>,
        server: &PgConnectOptions,
    ) -> Result<Attempt, sqlx::Error> {
        let is_tested = pooler.is_none() && !self.refuses_parameters.load(Ordering::Relaxed);
        let mut sent = is_tested.then(|| Uuid::new_v4().simple().to_string());
        let options = match &sent {
            Some(value) => &server.clone().options([(SESSION, value)]),
            None => server,
        };
        let mut connection = match PgConnection::connect_with(options).await {
            Err(error) if sent.is_some() && may_refuse_parameter(&error) => {
                let connection = PgConnection::connect_with(server).await?;
                self.refuses_parameters.store(true, Ordering::Relaxed);
                sent = None;
                connection
            }
            connected => connected?,
        };
        let (read_only, found) = self.writability.inspect_new(&mut connection).await?;
        let is_own = match pooler {
            Some(is_shared) => !is_shared,
            None => sent.is_some() && sent == found,
        };
        let session = if is_own { Session::Own } else { Session::Shared };
        let is_known = self.is_shared.swap(session == Session::Shared, Ordering::Relaxed);
        if session == Session::Shared && !is_known {
            tracing::info!(
                "DATABASE_URL leads to a connection pooler: statements are not prepared in advance, and each runs in a transaction"
            );
        }
        Ok(Attempt { connection, session, read_only })
    }
}

/// Whether a pooler may have refused the startup parameter. It cannot be told from its other errors, except from those that
/// the second attempt would meet as well.
fn may_refuse_parameter(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // Not: the credentials or the database are wrong, resources are exhausted, the server is starting or stopping.
    error.code().is_none_or(|code| !["28", "3D", "53", "57"].iter().any(|class| code.starts_with(class)))
}

/// Of the errors of several servers, what one has answered says more than that another one could not be reached.
fn more_telling(before: Option<sqlx::Error>, error: sqlx::Error) -> sqlx::Error {
    match before {
        Some(before) if !matches!(before, sqlx::Error::Io(_)) || matches!(error, sqlx::Error::Io(_)) => {
            before
        }
        _ => error,
    }
}

//! How long an operation waits for the database. A silent database (a lost node, a network that drops packets) neither
//! answers nor closes connections, so that only a deadline ends the wait.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// The deadlines of one use of the pool.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Deadlines {
    /// For a connection: waiting for a permit, testing an idle connection and opening one.
    pub(super) acquire: Duration,
    /// For one attempt to connect.
    pub(super) connect: Duration,
    /// For the result of a statement, or for the next row of a stream.
    pub(super) statement: Duration,
    /// For the whole use of a connection, from its request on.
    pub(super) operation: Option<Duration>,
}

impl Deadlines {
    /// An HTTP request is answered within 3 s, so that an operation fails earlier.
    pub(in crate::store) const REQUEST: Self = Self {
        acquire: Duration::from_millis(1_250),
        connect: Duration::from_secs(1),
        statement: Duration::from_millis(1_800),
        operation: Some(Duration::from_millis(2_250)),
    };
    /// Statements on many rows that no HTTP request waits for.
    pub(in crate::store) const BULK: Self = Self {
        acquire: Duration::from_secs(5),
        connect: Duration::from_secs(2),
        statement: Duration::from_mins(1),
        operation: None,
    };
    /// Reading many rows one by one.
    pub(in crate::store) const STREAM: Self = Self {
        acquire: Duration::from_millis(1_250),
        connect: Duration::from_secs(1),
        statement: Duration::from_secs(10),
        operation: None,
    };
    /// `migrate`, which waits for a database that starts.
    pub(in crate::store) const MIGRATION: Self = Self {
        acquire: Duration::from_secs(10),
        connect: Duration::from_secs(5),
        statement: Duration::from_mins(1),
        operation: None,
    };

    /// The deadline of an operation that begins now.
    pub(super) fn end_of_operation(self) -> Option<Instant> {
        self.operation.map(|limit| Instant::now() + limit)
    }
}

/// The database did not answer before a deadline.
pub(super) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}

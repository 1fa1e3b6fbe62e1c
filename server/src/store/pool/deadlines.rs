//! How long an operation waits for the database. A silent database (a lost node, a network that drops packets) neither
//! answers nor closes connections, so that only a deadline ends the wait.

use std::io;
use std::time::Duration;

/// The deadlines of one use of the pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// For a connection: waiting for a permit, testing an idle connection and opening one.
    pub(super) acquire: Duration,
    /// For the result of a statement, or for the next row of a stream.
    pub(super) statement: Duration,
    /// For the result of a statement of a transaction, which may wait for a lock.
    pub(super) locking: Duration,
}

impl Deadlines {
    /// An HTTP request is answered within 3 s after the database became silent.
    pub(crate) const REQUEST: Self = Self {
        acquire: Duration::from_secs(2),
        statement: Duration::from_millis(1_500),
        locking: Duration::from_millis(2_400),
    };
    /// A statement of an HTTP request that may wait for a lock outside a transaction.
    pub(crate) const LOCKING: Self = Self { statement: Self::REQUEST.locking, ..Self::REQUEST };
    /// Statements on many rows that no HTTP request waits for.
    pub(crate) const BULK: Self = Self {
        acquire: Duration::from_secs(5),
        statement: Duration::from_mins(1),
        locking: Duration::from_mins(1),
    };
    /// Reading many rows one by one.
    pub(crate) const STREAM: Self = Self {
        acquire: Duration::from_secs(2),
        statement: Duration::from_secs(10),
        locking: Duration::from_secs(10),
    };
    /// `migrate`, which waits for a database that starts.
    pub(crate) const MIGRATION: Self = Self {
        acquire: Duration::from_secs(10),
        statement: Duration::from_mins(1),
        locking: Duration::from_mins(1),
    };

    /// The migrations themselves.
    pub(crate) const LONG_MIGRATION: Self = Self {
        acquire: Duration::from_secs(10),
        statement: Duration::from_hours(1),
        locking: Duration::from_hours(1),
    };

    /// Building an index of a large table.
    pub(crate) const INDEX: Self = Self { statement: Duration::from_hours(24), ..Self::LONG_MIGRATION };

    /// How long PostgreSQL lets a statement of a transaction wait for a lock: less than the client waits, so that the
    /// connection remains usable.
    pub(super) fn lock_timeout(self) -> Duration {
        self.locking.saturating_sub(Duration::from_millis(400))
    }

    /// How long PostgreSQL runs a statement of a transaction, which may wait for several locks.
    pub(super) fn statement_timeout(self) -> Duration {
        self.locking.saturating_sub(Duration::from_millis(300))
    }
}

/// The database did not answer before a deadline.
pub(super) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}

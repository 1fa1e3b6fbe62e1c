//! Why the server refuses a database that accepts no writes.

/// Why a database that answers is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadOnly {
    /// A standby that replays what a primary sends, or a server that recovers.
    #[error("the database is a read-only standby (in recovery): DATABASE_URL must lead to the primary")]
    Standby,
    /// A primary that is configured to accept no writes.
    #[error(
        "the database accepts no writes: default_transaction_read_only is on for the server, the database or the user"
    )]
    Default,
    /// A write was refused; the next test of the connection finds out which of the two it is.
    #[error("the database is read-only: it refused a write")]
    RefusedWrite,
}

impl From<ReadOnly> for sqlx::Error {
    fn from(reason: ReadOnly) -> Self {
        Self::Configuration(Box::new(reason))
    }
}

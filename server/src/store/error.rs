//! The errors of the database, as the rest of the server distinguishes them.

use std::io::ErrorKind;
use std::sync::Arc;

use super::pool::suspect;
use super::read_only::ReadOnly;
use crate::domain::Permission;
use crate::trusted_roots::describe_refusal;

/// The unique name that another account, or another group, has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// `users_username_key`
    Username,
    /// `users_email_key`
    Email,
    /// `groups_name_key`
    Group,
}

/// A failed database operation. `Display` never contains SQL, parameters or the URL.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// `DATABASE_URL` cannot be used.
    #[error("DATABASE_URL is not valid: {0}")]
    InvalidUrl(String),
    /// A unique name is taken.
    #[error("a unique name is taken")]
    Conflict(Conflict),
    /// The session of the actor has ended, or its account is deactivated or deleted.
    #[error("the session is over")]
    SessionOver,
    /// The account of the actor is no superuser's.
    #[error("the account is not a superuser's")]
    NotSuperuser,
    /// The account of the actor does not have the permission.
    #[error("the account does not have the permission {0}")]
    NotPermitted(Permission),
    /// The account or the group that is to be changed has permissions that the actor does not have.
    #[error("it has permissions that the actor does not have")]
    HoldsMore,
    /// Nothing can be said about the client that acts.
    #[error("the registered clients are not known")]
    UnknownClients,
    /// The database cannot be reached, is starting, stopping, or has no connection left.
    #[error("the database cannot be reached: {0}")]
    Unavailable(&'static str),
    /// The database answers, but accepts no writes.
    #[error("{0}")]
    ReadOnly(ReadOnly),
    /// Anything else: a bug.
    #[error("a query failed")]
    Unexpected(#[source] Arc<sqlx::Error>),
}

impl StoreError {
    /// A standby has answered. Every connection is tested before its next use.
    pub(super) fn found_standby() -> Self {
        suspect();
        Self::ReadOnly(ReadOnly::Standby)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let Some(reason) = describe_refusal(&error) {
            return Self::Unavailable(reason);
        }
        match &error {
            sqlx::Error::Configuration(cause) if cause.is::<ReadOnly>() => {
                Self::ReadOnly(cause.downcast_ref().copied().unwrap_or(ReadOnly::RefusedWrite))
            }
            sqlx::Error::Io(cause) if cause.kind() == ErrorKind::TimedOut => {
                Self::Unavailable("it did not answer within the time limit")
            }
            sqlx::Error::Io(cause)
                if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
            {
                Self::Unavailable("the socket or a certificate file of its URL cannot be opened")
            }
            sqlx::Error::Io(_) => Self::Unavailable("the connection was refused or lost"),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection within the time limit"),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Unavailable("shutting down"),
            sqlx::Error::Tls(_) => {
                Self::Unavailable("it offers no TLS; one that needs none has sslmode=disable in its URL")
            }
            sqlx::Error::Protocol(_) => Self::Unavailable("the connection was lost"),
            sqlx::Error::Database(database) => {
                if let Some(reason) = describe_pooler(database.code().as_deref(), database.message()) {
                    return Self::Unavailable(reason);
                }
                match (database.constraint(), database.code().as_deref()) {
                    (Some("users_username_key"), _) => Self::Conflict(Conflict::Username),
                    (Some("users_email_key"), _) => Self::Conflict(Conflict::Email),
                    (Some("groups_name_key"), _) => Self::Conflict(Conflict::Group),
                    // lock_not_available, query_canceled, idle_in_transaction_session_timeout: see `begin` of the pool.
                    (_, Some("55P03" | "57014" | "25P03")) => Self::Unavailable(
                        "a statement waited for a lock or ran for longer than the time limit",
                    ),
                    // PostgreSQL's classes: 08 connection, 53 resources (connections, disk, memory),
                    // 57 operator intervention (shutdown, starting up).
                    (_, Some(code)) if ["08", "53", "57"].contains(&&code[..2]) => {
                        Self::Unavailable("it is starting, stopping or out of resources")
                    }
                    (_, Some(code)) if ["28", "3D"].contains(&&code[..2]) => {
                        Self::Unavailable("it refuses the user, the password or the database name")
                    }
                    // read_only_sql_transaction: the connection leads to another server than when it was tested.
                    (_, Some("25006")) => {
                        suspect();
                        Self::ReadOnly(ReadOnly::RefusedWrite)
                    }
                    _ => Self::Unexpected(Arc::new(error)),
                }
            }
            _ => Self::Unexpected(Arc::new(error)),
        }
    }
}

/// Why a connection pooler refuses to serve. PgBouncer has one code for almost everything: protocol_violation.
fn describe_pooler(code: Option<&str>, message: &str) -> Option<&'static str> {
    const REASONS: [(&str, &str); 8] = [
        (
            "startup parameter",
            "the connection pooler refuses a startup parameter: remove `options` from DATABASE_URL, or add it to ignore_startup_parameters",
        ),
        (
            "statement pooling mode",
            "the connection pooler is in statement mode, which cannot be used: set pool_mode to transaction or session",
        ),
        ("max_client_conn", "the connection pooler accepts no more connections (max_client_conn)"),
        ("no more connections", "the connection pooler accepts no more connections"),
        ("query_wait_timeout", "the connection pooler has no connection to the database left"),
        ("server login has been failing", "the connection pooler cannot log in to the database"),
        ("server_login_retry", "the connection pooler cannot reach the database"),
        ("authentication failed", "it refuses the user, the password or the database name"),
    ];
    if !code.is_some_and(|code| code.starts_with("08")) {
        return None;
    }
    if message.starts_with("no such ") {
        return Some("it refuses the user, the password or the database name");
    }
    REASONS.iter().find(|(part, _)| message.contains(part)).map(|(_, reason)| *reason)
}

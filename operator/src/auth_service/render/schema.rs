//! The state of the database schema, as far as it decides what is rendered.

use crate::auth_service::problem::Problem;

/// Where the schema stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// It fits the image.
    Migrated,
    /// A Job is at it.
    Migrating,
    /// The Job failed.
    Failed(String),
    /// The embedded PostgreSQL is not ready yet.
    WaitingForDatabase,
    /// Another problem must be resolved first.
    Blocked(Problem),
}

//! The state of the database schema, as far as it decides what is rendered.

use crate::auth_service::problem::Problem;

/// The state of the database schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Schema {
    /// The schema has the version of the image.
    Migrated,
    /// The migration Job runs.
    Migrating,
    Failed(String),
    /// The embedded PostgreSQL is not ready yet.
    WaitingForDatabase,
    /// Another problem must be resolved first.
    Blocked(Problem),
}

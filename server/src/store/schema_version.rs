//! The schema version that this server needs, and how other processes learn it.

/// The newest migration this binary was built with; it cannot run on an older schema.
pub const REQUIRED_SCHEMA_VERSION: i64 = 13;

/// What a server's connections are called, before its number.
pub(super) const SERVER_APPLICATION: &str = "latchkey-server/";

/// The application name of this server's connections, by which `migrate` finds the servers that use the database.
pub(super) fn application_name() -> String {
    format!("{SERVER_APPLICATION}{REQUIRED_SCHEMA_VERSION}")
}

//! The servers of a database, of which the pool uses the one that accepts writes.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// How to connect to a database.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// At least one server, in the order of the URL.
    pub(crate) servers: Vec<PgConnectOptions>,
    /// How long connecting to one server may take.
    pub(crate) connect_timeout: Option<Duration>,
    /// Whether a connection pooler shares sessions between its clients; if unset, each new connection is tested.
    pub(crate) pooler: Option<bool>,
}

/// What identifies a database: host, port and socket of each server, and the name.
type Place<'a> = (Vec<(&'a str, u16, Option<&'a PathBuf>)>, &'a str);

impl Target {
    /// The same with an application name.
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.servers = self.servers.into_iter().map(|server| server.application_name(name)).collect();
        self
    }

    /// Whether both lead to the same database, whatever the credentials are.
    pub(crate) fn is_same_database(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    fn place(&self) -> Place<'_> {
        let servers = &self.servers;
        let name = servers
            .first()
            .map_or("", |server| server.get_database().unwrap_or_else(|| server.get_username()));
        let addresses =
            servers.iter().map(|server| (server.get_host(), server.get_port(), server.get_socket()));
        (addresses.collect(), name)
    }
}

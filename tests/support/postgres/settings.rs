//! An instance with other settings than those of most tests.

use sqlx::postgres::PgConnection;

use super::{Database, Postgres};

impl Postgres {
    /// Restarts it with more settings, `NAME=VALUE`, which take precedence over those of all tests.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_with(&mut self, settings: &[&str]) {
        self.stop();
        self.settings.extend(settings.iter().map(ToString::to_string));
        self.start_again();
    }

    /// Ends it like a crash ("immediate" shutdown): the next start recovers from the write-ahead log.
    pub fn stop_immediately(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("QUIT");
            process.wait();
        }
    }

    /// Connects to a database that no test uses.
    pub async fn connect_as_administrator(&self) -> PgConnection {
        self.database("postgres").connect().await
    }
}

impl Database {
    /// A database of an instance that the tests have not started.
    pub fn at(port: u16, password: &str, name: &str) -> Self {
        Self::new(port, password, name, false)
    }
}

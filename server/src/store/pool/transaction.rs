//! A transaction on a connection of the pool.

use std::ops::{Deref, DerefMut};

use super::connection::Connection;

/// It is rolled back when it is dropped without a commit.
#[derive(Debug)]
pub(crate) struct Transaction(pub(super) Connection);

impl Transaction {
    /// Commits. After an error it is unknown whether it was committed.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.0.commit().await
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

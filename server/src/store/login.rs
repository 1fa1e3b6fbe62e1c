//! Another login at the same database, while the server runs.

use sqlx::postgres::PgConnectOptions;

use super::{Store, StoreError, application_name, connect_options};

impl Store {
    /// Opens every connection from now on by this URL, if it leads to the same database; open ones stay. Returns
    /// whether it does: a server must never write to two databases, so that a move takes a restart.
    ///
    /// # Errors
    /// [`StoreError::MalformedUrl`]
    pub fn follow_login(&self, database_url: &str) -> Result<bool, StoreError> {
        let options = connect_options(database_url, &self.roots)?;
        let present = self.pool.connect_options();
        let place = |options: &PgConnectOptions| {
            let name = options.get_database().unwrap_or_else(|| options.get_username()).to_owned();
            (options.get_host().to_owned(), options.get_port(), options.get_socket().cloned(), name)
        };
        let same = place(&options) == place(&present);
        if same {
            self.pool.set_connect_options(options.application_name(&application_name()));
        }
        Ok(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trusted_roots::TrustedRoots;

    #[tokio::test]
    async fn only_the_login_may_be_another() {
        let store =
            Store::connect_lazily("postgres://a:one@db.example:5432/auth", 1, &TrustedRoots::default())
                .unwrap();
        assert_eq!(store.follow_login("postgres://b:two@db.example/auth").ok(), Some(true));
        assert_eq!(store.pool.connect_options().get_username(), "b");
        for other in [
            "postgres://c:x@db.example/other",
            "postgres://c:x@db2.example/auth",
            "postgres://c:x@db.example:1/auth",
        ] {
            assert_eq!(store.follow_login(other).ok(), Some(false), "{other}");
        }
        assert!(store.follow_login("no url").is_err());
        assert_eq!(store.pool.connect_options().get_username(), "b");
    }
}

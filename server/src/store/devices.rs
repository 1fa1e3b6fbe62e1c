//! Devices that have logged in before.

use super::{Store, StoreError};

/// A device and the account that it has logged in to.
#[derive(Clone, sqlx::FromRow)]
pub struct KnownDevice {
    /// SHA-256 of its cookie.
    pub token_hash: Vec<u8>,
    pub user_id: i64,
    username: String,
    email: String,
}

impl KnownDevice {
    /// Whether its account goes by this name, in any case.
    pub fn answers_to(&self, name: &str) -> bool {
        self.username.eq_ignore_ascii_case(name) || self.email.eq_ignore_ascii_case(name)
    }
}

impl Store {
    /// The device with this hash, unless its cookie has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_device(&self, token_hash: &[u8]) -> Result<Option<KnownDevice>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT token_hash, user_id, username, email FROM devices JOIN users ON users.id = user_id
             WHERE token_hash = $1 AND devices.created_at > now() - interval '1 year'",
        )
        .bind(token_hash)
        .fetch_optional(&self.pool)
        .await?)
    }
}

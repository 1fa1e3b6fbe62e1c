//! Devices that have logged in before.

use super::pool::Connection;
use super::users::{Credentials, credentials_columns};
use super::{Store, StoreError};

/// A device and the account that it has logged in to.
#[derive(Clone, sqlx::FromRow)]
pub struct KnownDevice {
    /// SHA-256 of its cookie.
    pub token_hash: Vec<u8>,
    pub user_id: i64,
    /// Those of its account: a login from a known device needs no other query for them.
    #[sqlx(flatten)]
    pub credentials: Credentials,
    email: String,
}

impl KnownDevice {
    /// Whether its account goes by this name, in any case.
    pub fn answers_to(&self, name: &str) -> bool {
        self.credentials.username.eq_ignore_ascii_case(name) || self.email.eq_ignore_ascii_case(name)
    }
}

/// The browsers of an account that are remembered, and the programs; the one that has not been used for the longest time is forgotten first.
pub const MAX_DEVICES: i64 = 100;

impl Store {
    /// Forgets the browsers or the programs of an account beyond [`MAX_DEVICES`]. Each forgotten one only loses its own rate limit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn delete_surplus_devices(&self, user_id: i64, is_program: bool) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM devices WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM devices WHERE user_id = $1 AND is_program = $3
                 ORDER BY last_used_at DESC, token_hash OFFSET $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind(user_id)
        .bind(MAX_DEVICES)
        .bind(is_program)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The device with this hash, unless its cookie has expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_device(&self, token_hash: &[u8]) -> Result<Option<KnownDevice>, StoreError> {
        Ok(sqlx::query_as(concat!(
            "SELECT token_hash, user_id, email, ",
            credentials_columns!(),
            " FROM devices JOIN users ON users.id = user_id
             WHERE token_hash = $1 AND devices.created_at > now() - interval '1 year'"
        ))
        .bind(token_hash)
        .fetch_optional(&self.pool)
        .await?)
    }
}

/// Remembers a browser within a transaction.
pub(super) async fn insert_browser(
    connection: &mut Connection,
    user_id: i64,
    token_hash: &[u8],
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO devices (token_hash, user_id) VALUES ($1, $2)")
        .bind(token_hash)
        .bind(user_id)
        .execute(connection)
        .await?;
    Ok(())
}

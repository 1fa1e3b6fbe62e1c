//! Accounts as administrators see them: one, or a page of many.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

use super::{Administrator, Store, StoreError};
use crate::domain::NamePrefix;

/// An account, with what administrators need to know of it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Account {
    pub id: i64,
    /// Its name as it was given.
    pub username: String,
    /// Its address as it was given.
    pub email: String,
    /// The person's name.
    pub name: String,
    /// Whether it may administer accounts.
    pub is_superuser: bool,
    /// Whether it may log in.
    pub is_active: bool,
    /// Whether its owner, or an administrator, has vouched for the address.
    pub email_verified: bool,
    /// The language of its owner (BCP 47), where it is known.
    pub locale: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Which accounts, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountQuery {
    /// Whose username, address or name begins so.
    pub prefix: Option<NamePrefix>,
    /// Only those that may, or may not, log in.
    pub is_active: Option<bool>,
    /// Only superusers, or all others.
    pub is_superuser: Option<bool>,
    /// Only those whose address is, or is not, verified.
    pub verified: Option<bool>,
    /// Only those with a greater id.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// The columns of an [`Account`].
macro_rules! account_columns {
    () => {
        "id, username, email, name, is_superuser, is_active, \
         email_verified_at IS NOT NULL AS email_verified, locale, created_at"
    };
}
pub(super) use account_columns;

impl Store {
    /// The account with this id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn find_account(
        &self,
        user_id: i64,
        administrator: &Administrator,
    ) -> Result<Option<Account>, StoreError> {
        let mut reading = self.read_as_administrator(administrator).await?;
        let found = sqlx::query_as(concat!("SELECT ", account_columns!(), " FROM users WHERE id = $1"))
            .bind(user_id)
            .fetch_optional(reading.connection())
            .await?;
        reading.finish(found).await
    }

    /// A page of accounts, by id. The filters stand in the statement as the partial indexes spell them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn list_accounts(
        &self,
        query: &AccountQuery,
        administrator: &Administrator,
    ) -> Result<Vec<Account>, StoreError> {
        let mut reading = self.read_as_administrator(administrator).await?;
        let mut sql = QueryBuilder::new(concat!("SELECT ", account_columns!(), " FROM users WHERE id > "));
        sql.push_bind(query.after.unwrap_or(i64::MIN));
        let filters = [
            (query.is_active, " AND is_active", " AND NOT is_active"),
            (query.is_superuser, " AND is_superuser", " AND NOT is_superuser"),
            (query.verified, " AND email_verified_at IS NOT NULL", " AND email_verified_at IS NULL"),
        ];
        for (wanted, yes, no) in filters {
            if let Some(wanted) = wanted {
                sql.push(if wanted { yes } else { no });
            }
        }
        if let Some(prefix) = &query.prefix {
            push_prefix(&mut sql, prefix);
        }
        sql.push(" ORDER BY id LIMIT ").push_bind(query.limit);
        let found = sql.build_query_as().fetch_all(reading.connection()).await?;
        reading.finish(found).await
    }
}

/// Ranges, not LIKE: they need no escapes, and the index serves them whether or not the plan knows the value.
fn push_prefix(sql: &mut QueryBuilder<Postgres>, prefix: &NamePrefix) {
    let columns =
        ["lower(username COLLATE \"C\")", "lower(email COLLATE \"C\")", "lower(name COLLATE \"C\")"];
    for (number, column) in columns.into_iter().enumerate() {
        sql.push(if number == 0 { " AND ((" } else { ") OR (" });
        sql.push(column).push(" >= ").push_bind(prefix.from.clone());
        if let Some(below) = &prefix.below {
            sql.push(" AND ").push(column).push(" < ").push_bind(below.clone());
        }
    }
    sql.push("))");
}

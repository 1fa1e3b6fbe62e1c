//! Listing accounts, for an administrator.

use crate::service::{Permitted, Service, ServiceError};
use crate::store::{Account, AccountQuery};

/// A page of a list, and the id after which the next one starts; `None` on the last page.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The id of its last item, if there are more.
    pub next: Option<i64>,
}

impl<T> Page<T> {
    /// Builds a page from up to one item more than its size.
    pub(in crate::service) fn build(mut items: Vec<T>, limit: i64, id: impl Fn(&T) -> i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(id);
        Self { items, next }
    }
}

/// The accounts that match the query, by id.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] and [`ServiceError::NotPermitted`] when that has changed since it was asked,
/// [`ServiceError::Unavailable`]
pub async fn list_users(
    service: &Service,
    permitted: &Permitted,
    query: AccountQuery,
) -> Result<Page<Account>, ServiceError> {
    let limit = query.limit;
    let found = service
        .store
        .list_accounts(&AccountQuery { limit: limit + 1, ..query }, permitted.administrator())
        .await
        .map_err(|error| permitted.explain(service, error))?;
    Ok(Page::build(found, limit, |account| account.id))
}

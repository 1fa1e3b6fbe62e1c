//! Listing groups.

use crate::service::{Page, Permitted, Service, ServiceError};
use crate::store::{Group, GroupQuery};

/// The groups that match the query, by id.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] and [`ServiceError::NotPermitted`] when that has changed since it was asked,
/// [`ServiceError::Unavailable`]
pub async fn list_groups(
    service: &Service,
    permitted: &Permitted,
    query: GroupQuery,
) -> Result<Page<Group>, ServiceError> {
    let limit = query.limit;
    let found = service
        .store
        .list_groups(&GroupQuery { limit: limit + 1, ..query }, permitted.administrator())
        .await
        .map_err(|error| permitted.explain(service, error))?;
    Ok(Page::build(found, limit, |group| group.id))
}

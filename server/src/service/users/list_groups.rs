//! Listing the groups of an account.

use crate::service::{Page, Permitted, Service, ServiceError};
use crate::store::{Group, MembershipQuery};

/// The groups of the account, by id.
///
/// # Errors
/// [`ServiceError::UnknownAccount`]; [`ServiceError::InvalidAccessToken`] and [`ServiceError::NotPermitted`] when that has
/// changed since it was asked, [`ServiceError::Unavailable`]
pub async fn list_user_groups(
    service: &Service,
    permitted: &Permitted,
    user_id: i64,
    query: MembershipQuery,
) -> Result<Page<Group>, ServiceError> {
    let more = MembershipQuery { limit: query.limit + 1, ..query };
    let found = service
        .store
        .list_groups_of(user_id, more, permitted.administrator())
        .await
        .map_err(|error| permitted.explain(service, error))?
        .ok_or(ServiceError::UnknownAccount)?;
    Ok(Page::build(found, query.limit, |group| group.id))
}

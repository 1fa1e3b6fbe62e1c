//! Listing the members of a group.

use crate::domain::GroupName;
use crate::service::{Page, Permitted, Service, ServiceError};
use crate::store::{Member, MembershipQuery};

/// The members of the group, by id.
///
/// # Errors
/// [`ServiceError::UnknownGroup`]; [`ServiceError::InvalidAccessToken`] and [`ServiceError::NotPermitted`] when that has
/// changed since it was asked, [`ServiceError::Unavailable`]
pub async fn list_members(
    service: &Service,
    permitted: &Permitted,
    name: &GroupName,
    query: MembershipQuery,
) -> Result<Page<Member>, ServiceError> {
    let more = MembershipQuery { limit: query.limit + 1, ..query };
    let found = service
        .store
        .list_members(name, more, permitted.administrator())
        .await
        .map_err(|error| permitted.explain(service, error))?
        .ok_or(ServiceError::UnknownGroup)?;
    Ok(Page::build(found, query.limit, |member| member.id))
}

//! Getting a group.

use crate::domain::GroupName;
use crate::service::{Permitted, Service, ServiceError};
use crate::store::Group;

/// The group of this name.
///
/// # Errors
/// [`ServiceError::UnknownGroup`], [`ServiceError::Unavailable`]
pub async fn show_group(
    service: &Service,
    permitted: &Permitted,
    name: &GroupName,
) -> Result<Group, ServiceError> {
    service
        .store
        .find_group(name, permitted.administrator())
        .await
        .map_err(|error| permitted.explain(service, error))?
        .ok_or(ServiceError::UnknownGroup)
}

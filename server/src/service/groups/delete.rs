//! Deleting a group.

use crate::domain::{GroupName, Origin};
use crate::service::{Permitted, Service, ServiceError};

/// Deletes the group; its members stay. When this returns, none of them acts by a permission of the group.
///
/// # Errors
/// [`ServiceError::UnknownGroup`], [`ServiceError::HoldsMore`], [`ServiceError::Unavailable`]
pub async fn delete_group(
    service: &Service,
    permitted: &Permitted,
    name: &GroupName,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let event = service
        .store
        .delete_group(name, permitted.administrator(), origin)
        .await
        .map_err(|error| permitted.explain(service, error))?
        .ok_or(ServiceError::UnknownGroup)?;
    service.emit(&event);
    Ok(())
}

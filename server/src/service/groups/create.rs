//! Creating a group.

use super::fields::{check_description, check_group_name, check_permissions};
use crate::domain::Origin;
use crate::service::{Permitted, Service, ServiceError};
use crate::store::{Group, NewGroup};

/// A requested group, not yet checked.
#[derive(Debug, Clone, Default)]
pub struct GroupForm {
    /// See [`GroupName`](crate::domain::GroupName).
    pub name: String,
    /// See [`GroupDescription`](crate::domain::GroupDescription).
    pub description: String,
    /// The names of permissions.
    pub permissions: Vec<String>,
}

/// Creates the group.
///
/// # Errors
/// [`ServiceError::Invalid`], [`ServiceError::Conflict`], [`ServiceError::NotSuperuser`] when somebody else grants
/// permissions, [`ServiceError::Unavailable`]
pub async fn create_group(
    service: &Service,
    permitted: &Permitted,
    form: GroupForm,
    origin: &Origin,
) -> Result<Group, ServiceError> {
    let new = form.check()?;
    let (group, event) = service
        .store
        .create_group(&new, permitted.administrator(), origin)
        .await
        .map_err(|error| permitted.explain(service, error))?;
    service.emit(&event);
    Ok(group)
}

impl GroupForm {
    fn check(&self) -> Result<NewGroup, ServiceError> {
        let mut faults = Vec::new();
        let name = check_group_name(&self.name, &mut faults);
        let description = check_description(&self.description, &mut faults);
        let permissions = check_permissions(&self.permissions, &mut faults);
        match (name, description, permissions) {
            (Some(name), Some(description), Some(permissions)) => {
                Ok(NewGroup { name, description, permissions })
            }
            _ => Err(ServiceError::Invalid(faults)),
        }
    }
}

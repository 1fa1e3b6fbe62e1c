//! Changing a group.

use super::fields::{check_description, check_group_name, check_permissions};
use crate::domain::{GroupName, Origin};
use crate::service::{Permitted, Service, ServiceError};
use crate::store::{Group, GroupChange};

/// A requested change, not yet checked; `None` leaves a field unchanged.
#[derive(Debug, Clone, Default)]
pub struct GroupChangeForm {
    /// See [`GroupName`].
    pub name: Option<String>,
    /// See [`GroupDescription`](crate::domain::GroupDescription).
    pub description: Option<String>,
    /// The names of all permissions that the group is to hold.
    pub permissions: Option<Vec<String>>,
}

/// Changes the group. When this returns, no member acts by a permission that was withdrawn: each request reads the
/// permissions, and each transaction asserts them.
///
/// # Errors
/// [`ServiceError::Invalid`], [`ServiceError::UnknownGroup`], [`ServiceError::Conflict`], [`ServiceError::HoldsMore`],
/// [`ServiceError::NotSuperuser`] when somebody else grants or withdraws permissions, [`ServiceError::Unavailable`]
pub async fn change_group(
    service: &Service,
    permitted: &Permitted,
    name: &GroupName,
    form: GroupChangeForm,
    origin: &Origin,
) -> Result<Group, ServiceError> {
    let change = form.check()?;
    let (group, event) = service
        .store
        .change_group(name, &change, permitted.administrator(), origin)
        .await
        .map_err(|error| permitted.explain(service, error))?
        .ok_or(ServiceError::UnknownGroup)?;
    if let Some(event) = &event {
        service.emit(event);
    }
    Ok(group)
}

impl GroupChangeForm {
    fn check(&self) -> Result<GroupChange, ServiceError> {
        let mut faults = Vec::new();
        let change = GroupChange {
            name: self.name.as_ref().and_then(|name| check_group_name(name, &mut faults)),
            description: self.description.as_ref().and_then(|text| check_description(text, &mut faults)),
            permissions: self.permissions.as_ref().and_then(|names| check_permissions(names, &mut faults)),
        };
        if faults.is_empty() { Ok(change) } else { Err(ServiceError::Invalid(faults)) }
    }
}

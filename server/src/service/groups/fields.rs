//! Checks of a group's fields. Each adds a fault for a value that is not valid.

use crate::domain::group_name::MAX_GROUP_DESCRIPTION_CHARS;
use crate::domain::{GroupDescription, GroupName, Permission, Permissions};
use crate::service::FieldError;

pub(super) fn check_group_name(name: &str, faults: &mut Vec<FieldError>) -> Option<GroupName> {
    let name = GroupName::parse(name);
    if name.is_none() {
        faults.push(FieldError::new(
            "name",
            "must have 1 to 128 ASCII letters, digits or . _ - : /, a letter, a digit or _ after each slash, and not begin with system:",
        ));
    }
    name
}

pub(super) fn check_description(description: &str, faults: &mut Vec<FieldError>) -> Option<GroupDescription> {
    let description = GroupDescription::parse(description);
    if description.is_none() {
        let message =
            format!("must have at most {MAX_GROUP_DESCRIPTION_CHARS} characters and no control characters");
        faults.push(FieldError { field: "description", message });
    }
    description
}

pub(super) fn check_permissions(names: &[String], faults: &mut Vec<FieldError>) -> Option<Permissions> {
    let permissions: Option<Permissions> = names.iter().map(|name| Permission::parse(name)).collect();
    if permissions.is_none() {
        let known = Permission::ALL.map(Permission::as_str).join(", ");
        let message = format!("has a permission that is not one of {known}");
        faults.push(FieldError { field: "permissions", message });
    }
    permissions
}

//! The message for an object that has another owner. Pure.

use crate::auth_service::validate::Validated;
use crate::cluster::kinds::Kind;
use crate::names::ADOPT_ANNOTATION;

/// A Secret from a backup has no owner, and only a user knows whether its content may be trusted.
pub(super) fn name_conflict(service: &Validated, conflicts: &[(Kind, String)]) -> Option<String> {
    let (kind, name) = conflicts.first()?;
    let message = format!(
        "the {kind} {name} exists and has another owner: delete or rename it, or use another name for the AuthService."
    );
    let secrets = conflicts.iter().filter(|(kind, _)| *kind == Kind::Secret);
    let secrets: Vec<_> = secrets.map(|(_, name)| name.as_str()).collect();
    if secrets.is_empty() {
        return Some(message);
    }
    Some(format!(
        "{message} If it has no owner because it was restored from a backup of this AuthService, run: kubectl annotate secret {} -n {} {ADOPT_ANNOTATION}={}",
        secrets.join(" "),
        service.namespace,
        service.name
    ))
}

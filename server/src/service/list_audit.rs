//! Reading the audit, for a superuser.

use super::{Page, Service, ServiceError, Superuser};
use crate::store::{AuditEntry, AuditQuery};

/// The events that the query asks for, newest first.
///
/// # Errors
/// [`ServiceError::Unavailable`]
pub async fn list_audit(
    service: &Service,
    _superuser: Superuser,
    query: AuditQuery,
) -> Result<Page<AuditEntry>, ServiceError> {
    let limit = query.limit;
    let found = service.store.list_audit(&AuditQuery { limit: limit + 1, ..query }).await?;
    Ok(Page::build(found, limit, |entry| entry.id))
}

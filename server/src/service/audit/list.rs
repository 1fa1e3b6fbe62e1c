//! Listing audit events, for a superuser.

use crate::service::{Page, Service, ServiceError, Superuser};
use crate::store::{AuditEntry, AuditQuery};

/// The events that match the query, newest first.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] and [`ServiceError::NotSuperuser`] when that has changed since it was asked,
/// [`ServiceError::Unavailable`]
pub async fn list_audit(
    service: &Service,
    superuser: Superuser,
    query: AuditQuery,
) -> Result<Page<AuditEntry>, ServiceError> {
    let limit = query.limit;
    let found = service
        .store
        .list_audit(&AuditQuery { limit: limit + 1, ..query }, superuser.administrator())
        .await
        .map_err(|error| superuser.explain(service, error))?;
    Ok(Page::build(found, limit, |entry| entry.id))
}

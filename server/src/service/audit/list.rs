//! Listing audit events, for an administrator.

use crate::service::{Page, Permitted, Service, ServiceError};
use crate::store::{AuditEntry, AuditQuery};

/// The events that match the query, newest first.
///
/// # Errors
/// [`ServiceError::InvalidAccessToken`] and [`ServiceError::NotPermitted`] when that has changed since it was asked,
/// [`ServiceError::Unavailable`]
pub async fn list_audit(
    service: &Service,
    permitted: &Permitted,
    query: AuditQuery,
) -> Result<Page<AuditEntry>, ServiceError> {
    let limit = query.limit;
    let found = service
        .store
        .list_audit(&AuditQuery { limit: limit + 1, ..query }, permitted.administrator())
        .await
        .map_err(|error| permitted.explain(service, error))?;
    Ok(Page::build(found, limit, |entry| entry.id))
}

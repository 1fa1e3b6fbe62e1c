//! Listing the current user's sessions (OWASP ASVS 5.0 §7.5.2).

use crate::service::{Authenticated, Service, ServiceError};
use crate::store::SessionRow;

/// The active sessions of the bearer's account.
///
/// # Errors
/// [`ServiceError::Unavailable`]
pub async fn list_sessions(
    service: &Service,
    bearer: Authenticated,
) -> Result<Vec<SessionRow>, ServiceError> {
    Ok(service.store.list_sessions(bearer.actor()).await?)
}

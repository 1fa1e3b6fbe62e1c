//! Adding a member to a group.

use crate::domain::{GroupName, Origin};
use crate::service::{Permitted, Service, ServiceError};
use crate::store::MembershipOutcome;

/// Makes the account a member. Returns whether it was none before.
///
/// # Errors
/// [`ServiceError::UnknownGroup`], [`ServiceError::UnknownAccount`], [`ServiceError::HoldsMore`],
/// [`ServiceError::Unavailable`]
pub async fn add_member(
    service: &Service,
    permitted: &Permitted,
    (name, user_id): (&GroupName, i64),
    origin: &Origin,
) -> Result<bool, ServiceError> {
    let done = service
        .store
        .add_member((name, user_id), permitted.administrator(), origin)
        .await
        .map_err(|error| permitted.explain(service, error))?;
    match done {
        MembershipOutcome::UnknownGroup => Err(ServiceError::UnknownGroup),
        MembershipOutcome::UnknownAccount => Err(ServiceError::UnknownAccount),
        MembershipOutcome::Done(event) => {
            if let Some(event) = &event {
                service.emit(event);
            }
            Ok(event.is_some())
        }
    }
}

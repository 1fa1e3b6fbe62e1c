//! Removing a member from a group.

use crate::domain::{GroupName, Origin};
use crate::service::announce_again::announce_recent_ends;
use crate::service::{Permitted, Service, ServiceError};
use crate::store::{MembershipOutcome, StoreError};

/// Removes the account from the group. A permission of the group is missing from its next request on. With `end_sessions`,
/// every replica refuses its tokens when this returns, also if it was no member: an earlier attempt may have removed it.
///
/// # Errors
/// [`ServiceError::UnknownGroup`], [`ServiceError::UnknownAccount`], [`ServiceError::HoldsMore`];
/// [`ServiceError::Unavailable`] when the end of the sessions could not be made known; it may be asked for again.
pub async fn remove_member(
    service: &Service,
    permitted: &Permitted,
    (name, user_id): (&GroupName, i64),
    end_sessions: bool,
    origin: &Origin,
) -> Result<(), ServiceError> {
    let store = &service.store;
    let done = store.remove_member((name, user_id), end_sessions, permitted.administrator(), origin).await;
    let is_own_end = matches!(done, Err(StoreError::SessionOver)) && permitted.user_id() == Some(user_id);
    let is_gone = matches!(done, Ok(MembershipOutcome::UnknownGroup | MembershipOutcome::UnknownAccount));
    if end_sessions && (is_own_end || is_gone) {
        announce_recent_ends(service, user_id, None).await?;
    }
    match done.map_err(|error| permitted.explain(service, error))? {
        MembershipOutcome::UnknownGroup => Err(ServiceError::UnknownGroup),
        MembershipOutcome::UnknownAccount => Err(ServiceError::UnknownAccount),
        MembershipOutcome::Done(removed) => {
            for event in &removed.events {
                service.emit(event);
            }
            service.revocation.announce_ended(&removed.revoked).await?;
            Ok(())
        }
    }
}

//! Accepting access tokens of clients. Every use of one goes through [`accept_client_token`].

use super::workloads::is_workload_present;
use super::{Service, ServiceError};
use crate::crypto::ClientToken;
use crate::revocation::Subject;

/// A token that was accepted: its client is registered with the credential, and the token is not revoked. Only
/// [`accept_client_token`] creates it.
#[derive(Debug, Clone)]
pub struct AcceptedClientToken(ClientToken);

impl AcceptedClientToken {
    pub fn claims(&self) -> &ClientToken {
        &self.0
    }
}

/// Accepts a verified token, unless its client or its credential was removed from the registry, it was revoked, or its
/// workload is gone. The caller checks the expiry and the audience.
///
/// # Errors
/// [`ServiceError::Unavailable`] when any of these cannot be determined: the token is then never accepted.
pub(super) async fn accept_client_token(
    service: &Service,
    token: ClientToken,
) -> Result<Option<AcceptedClientToken>, ServiceError> {
    let clients = service.clients.clients()?;
    let Some(credential) = clients.credential(token.client.as_str(), token.credential) else {
        return Ok(None);
    };
    let subject = Subject::client_token(token.jti, token.issued_at);
    if service.client_token_checks.is_revoked(subject).await? {
        return Ok(None);
    }
    if let Some(account) = credential.service_account()
        && !is_workload_present(service, account, token.workload.as_ref()).await?
    {
        return Ok(None);
    }
    // Asked again, since another registry may have been loaded during the wait.
    let goes_on = service.clients.clients()?.has_credential(token.client.as_str(), token.credential);
    Ok(goes_on.then_some(AcceptedClientToken(token)))
}

//! Accepting access tokens that clients got for the tokens of others (RFC 8693). Every use of one goes through
//! [`accept_exchanged_token`].

use std::time::{Duration, Instant};

use latchkey_clients::Credential;

use super::workloads::is_workload_present;
use super::{Service, ServiceError};
use crate::crypto::{ExchangedToken, TokenOwner};
use crate::revocation::Subject;
use crate::store::Profile;

/// A check of the session that is older than this once the token itself was checked is repeated.
const CHECK_STANDS_FOR: Duration = Duration::from_millis(250);

/// An exchanged token that was accepted. Only [`accept_exchanged_token`] creates it.
#[derive(Debug, Clone)]
pub struct AcceptedExchangedToken {
    claims: ExchangedToken,
    person: Option<Profile>,
}

impl AcceptedExchangedToken {
    pub fn claims(&self) -> &ExchangedToken {
        &self.claims
    }

    /// The active account of the person for whom it is used; `None` if it is used for a client.
    pub fn person(&self) -> Option<&Profile> {
        self.person.as_ref()
    }
}

/// Accepts a verified token, unless something that it depends on has ended: the session and the account of its person,
/// the registration of a client through which it was exchanged, or of the credential of one, the pod of the client that
/// got it, or the token itself was revoked. The caller checks the expiry and the audience.
///
/// # Errors
/// [`ServiceError::Unavailable`] when one of them cannot be determined: the token is then never accepted.
pub(super) async fn accept_exchanged_token(
    service: &Service,
    token: ExchangedToken,
) -> Result<Option<AcceptedExchangedToken>, ServiceError> {
    let are_registered = || -> Result<bool, ServiceError> {
        let clients = service.clients.clients()?;
        Ok(clients.has_credential(token.actors.current().as_str(), token.credential)
            && clients.have_credentials(&token.prior_credentials))
    };
    if !are_registered()? {
        return Ok(None);
    }
    let (mut person, mut session) = (None, None);
    if let TokenOwner::Person { user_id, session_id } = token.subject {
        let subject = Subject::session(user_id, session_id, token.issued_at);
        let Some(profile) = service.accounts.read_of(user_id, subject).await? else { return Ok(None) };
        (person, session) = (Some(profile), Some(subject));
    }
    let checked_at = Instant::now();
    let own = Subject::client_token(token.jti, token.issued_at);
    if service.client_token_checks.is_revoked(own).await? {
        return Ok(None);
    }
    let clients = service.clients.clients()?;
    let actor = clients.credential(token.actors.current().as_str(), token.credential);
    // The pods of the clients before are not asked for again: a rollout of theirs would end the calls that they have begun.
    if let Some(account) = actor.and_then(Credential::service_account)
        && !is_workload_present(service, account, token.workload.as_ref()).await?
    {
        return Ok(None);
    }
    if let Some(session) = session.filter(|_| checked_at.elapsed() > CHECK_STANDS_FOR)
        && service.revocation.is_revoked(session).await?
    {
        return Ok(None);
    }
    // Asked again, since another registry may have been loaded during the wait.
    Ok(are_registered()?.then_some(AcceptedExchangedToken { claims: token, person }))
}

//! Exchanging the token that a service was called with for one with which it calls the next service (RFC 8693). See
//! docs/decisions/0034-token-exchange.md.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_clients::{Client, GrantType};
use serde_json::json;
use uuid::Uuid;

use super::grant_client_credentials::{GrantedClientToken, decide_scope};
use crate::client_registry::{AuthenticatedClient, Clients};
use crate::crypto::{Actors, ClientGrant, ExchangeGrant, TokenOwner, VerifiedToken};
use crate::domain::{AuditEvent, AuditKind, ClientId, Origin, Outcome};
use crate::service::authenticate::map_token_error;
use crate::service::client_tokens::accept_client_token;
use crate::service::exchanged_tokens::accept_exchanged_token;
use crate::service::{FieldError, NamedClient, Service, ServiceError};

/// RFC 8693 §3
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The same, said of its format.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A request to exchange a token (RFC 8693 §2.1). A text is empty if the parameter is absent.
pub struct ExchangeRequest<'a> {
    pub client: NamedClient<'a>,
    pub subject_token: &'a str,
    pub subject_token_type: &'a str,
    pub actor_token: &'a str,
    pub actor_token_type: &'a str,
    pub requested_token_type: &'a str,
    /// The target services, separated by spaces.
    pub audience: &'a str,
    /// The same by RFC 8707 §2.
    pub resource: &'a str,
    /// The requested scopes, separated by spaces; empty for all that can be granted.
    pub scope: &'a str,
}

/// What the new token has of the old one.
struct Subject {
    owner: TokenOwner,
    /// The clients that acted with it; `None` if it was not exchanged before.
    actors: Option<Actors>,
    scope: Limit,
    /// The credentials with which it was got.
    credentials: Vec<Uuid>,
    expires_at: i64,
    jti: Uuid,
}

/// The scopes of a token that is exchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Limit {
    /// A person's token that names none may do whatever the person may.
    Unlimited,
    Scopes(Option<Arc<str>>),
}

/// Authenticates a client and exchanges the token that it was called with. The new token has the same subject and no more
/// scopes, is for one other client that consents, ends with the old one's session or credentials, and expires no later.
///
/// # Errors
/// [`ServiceError::InvalidClient`], [`ServiceError::RateLimited`], [`ServiceError::UnauthorizedClient`],
/// [`ServiceError::Invalid`], [`ServiceError::InvalidTarget`], [`ServiceError::InvalidScope`];
/// [`ServiceError::InvalidSubjectToken`] for a token that is not valid, or that was not meant for the client;
/// [`ServiceError::Unavailable`] when that cannot be determined.
pub async fn exchange_token(
    service: &Service,
    request: ExchangeRequest<'_>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(GrantedClientToken, &'static str), ServiceError> {
    let authenticated = request.client.authenticate(service, origin, now).await?;
    let emit = |outcome, owner: Option<&TokenOwner>, detail| {
        let (user_id, session_id) = match owner {
            Some(TokenOwner::Person { user_id, session_id }) => (Some(*user_id), Some(*session_id)),
            Some(TokenOwner::Client(_)) | None => (None, None),
        };
        // As a token of a client, it changes nothing and may be frequent: a log line and a metric, no row.
        service.emit(&AuditEvent {
            kind: AuditKind::TokenExchanged,
            outcome,
            actor_id: None,
            user_id,
            session_id,
            origin: Some(origin),
            detail,
        });
    };
    let client_id = &*authenticated.client.client_id;
    match exchange(service, &request, &authenticated, now).await {
        Ok((granted, token_type, grant)) => {
            let mut detail = json!({
                "client_id": client_id,
                "credential": grant.credential,
                "jti": grant.jti,
                "subject_jti": grant.subject_jti,
                "audience": grant.audience,
                "scope": granted.scope,
                "act": grant.actors.to_claim(),
            });
            if let TokenOwner::Client(subject) = &grant.owner {
                detail["subject_client_id"] = subject.as_str().into();
            }
            emit(Outcome::Success, Some(&grant.owner), detail);
            Ok((granted, token_type))
        }
        Err(error) => {
            if let Some(reason) = refusal(&error) {
                emit(Outcome::Refused, None, json!({ "client_id": client_id, "reason": reason }));
            }
            Err(error)
        }
    }
}

/// What the audit log says of a new token.
struct Exchanged {
    owner: TokenOwner,
    actors: Actors,
    credential: Uuid,
    audience: String,
    jti: Uuid,
    subject_jti: Uuid,
}

async fn exchange(
    service: &Service,
    request: &ExchangeRequest<'_>,
    AuthenticatedClient { client, credential, workload }: &AuthenticatedClient,
    now: DateTime<Utc>,
) -> Result<(GrantedClientToken, &'static str, Exchanged), ServiceError> {
    if !client.grant_types.contains(&GrantType::TokenExchange) {
        return Err(ServiceError::UnauthorizedClient("This client may not use this grant."));
    }
    let token_type = request.check()?;
    let clients = service.clients.clients()?;
    let target = decide_target(&clients, client, &[request.audience, request.resource].join(" "))?;
    let subject = accept_subject(service, &clients, request.subject_token, &client.client_id, now).await?;
    refuse_other_groups(service, &subject.owner, &[&**client, target]).await?;
    let scope = decide_scope(&narrow(&client.scopes, &subject.scope), request.scope)?;
    let current = ClientId::parse(&client.client_id).ok_or(ServiceError::InvalidClient)?;
    let actors = Actors::begin(current, subject.actors.as_ref()).ok_or(ServiceError::InvalidSubjectToken)?;
    let own_end = now + TimeDelta::seconds(client.access_token_ttl.into());
    let ends = [
        DateTime::from_timestamp(subject.expires_at, 0),
        // The API server does not accept the token of a workload for longer.
        workload.as_ref().map(|workload| workload.expires_at),
    ];
    let grant = ExchangeGrant {
        token: ClientGrant {
            client_id: &client.client_id,
            credential: *credential,
            audience: &target.client_id,
            scope: scope.as_deref(),
            workload: workload.as_ref().map(|workload| &workload.token),
            jti: Uuid::new_v4(),
            expires_at: ends.into_iter().flatten().fold(own_end, DateTime::min),
        },
        subject: subject.owner,
        actors,
        prior_credentials: subject.credentials,
    };
    let access = service.tokens.sign_exchanged(&grant, now)?;
    let exchanged = Exchanged {
        credential: *credential,
        audience: target.client_id.clone(),
        jti: grant.token.jti,
        subject_jti: subject.jti,
        owner: grant.subject,
        actors: grant.actors,
    };
    Ok((GrantedClientToken { access, scope }, token_type, exchanged))
}

/// The name of a refusal in the audit log; `None` if the request could not be decided.
fn refusal(error: &ServiceError) -> Option<&'static str> {
    match error {
        ServiceError::UnauthorizedClient(_) => Some("unauthorized_client"),
        ServiceError::Invalid(_) => Some("invalid_request"),
        ServiceError::InvalidSubjectToken => Some("invalid_subject_token"),
        ServiceError::InvalidTarget(_) => Some("invalid_target"),
        ServiceError::InvalidScope => Some("invalid_scope"),
        _ => None,
    }
}

impl ExchangeRequest<'_> {
    /// Checks the parameters, and returns the type of the new token.
    fn check(&self) -> Result<&'static str, ServiceError> {
        let mut faults = Vec::new();
        let mut refuse = |field, message: &str| faults.push(FieldError::new(field, message));
        if self.subject_token.is_empty() {
            refuse("subject_token", "is required");
        }
        match self.subject_token_type {
            "" => refuse("subject_token_type", "is required"),
            ACCESS_TOKEN | JWT => {}
            _ => refuse("subject_token_type", "must be the type of an access token or of a JWT"),
        }
        for (field, value) in [("actor_token", self.actor_token), ("actor_token_type", self.actor_token_type)]
        {
            if !value.is_empty() {
                refuse(field, "is not supported: the client that authenticates is the actor");
            }
        }
        if self.audience.is_empty() && self.resource.is_empty() {
            refuse("audience", "is required, or resource");
        }
        let token_type = match self.requested_token_type {
            "" | ACCESS_TOKEN => ACCESS_TOKEN,
            JWT => JWT,
            _ => {
                refuse("requested_token_type", "must be the type of an access token or of a JWT");
                ACCESS_TOKEN
            }
        };
        if faults.is_empty() { Ok(token_type) } else { Err(ServiceError::Invalid(faults)) }
    }
}

/// The client for which the token is to be: one of the audiences of the requester, registered, and willing to accept tokens
/// that the requester exchanged. Why another one is refused is not told.
fn decide_target<'a>(
    clients: &'a Clients,
    requester: &Client,
    names: &str,
) -> Result<&'a Client, ServiceError> {
    let mut targets = names.split(' ').filter(|target| !target.is_empty());
    let target = targets.next().unwrap_or_default();
    if targets.next().is_some() {
        let reason = "A token has one audience: request it for one target at a time.";
        return Err(ServiceError::InvalidTarget(reason));
    }
    let is_requested = requester.audiences.iter().any(|audience| audience == target);
    let registered = clients.find(target).filter(|_| is_requested);
    let consents = |target: &&Client| target.token_exchange_from.contains(&requester.client_id);
    registered
        .map(|target| &**target)
        .filter(consents)
        .ok_or(ServiceError::InvalidTarget("This client may not exchange tokens for the requested target."))
}

/// The scopes of the requester that the token had too.
fn narrow(of_requester: &[String], of_subject: &Limit) -> Vec<String> {
    let had = |scope: &&String| match of_subject {
        Limit::Unlimited => true,
        Limit::Scopes(scopes) => {
            scopes.as_deref().is_some_and(|scopes| scopes.split(' ').any(|had| had == scope.as_str()))
        }
    };
    of_requester.iter().filter(had).cloned().collect()
}

/// Accepts the token with which the requester was called. A person's token for the audience of this service is what its
/// services are called with. Any other token must be for the requester: a client must not be able to use what was meant for
/// others, not even what it has itself sent to them.
async fn accept_subject(
    service: &Service,
    clients: &Clients,
    token: &str,
    requester: &str,
    now: DateTime<Utc>,
) -> Result<Subject, ServiceError> {
    let refused = || ServiceError::InvalidSubjectToken;
    let verified = service.tokens.verifier.verify_access(token, now);
    match verified.map_err(|error| map_token_error(error, refused()))? {
        VerifiedToken::Session(token) => {
            service.accounts.read(&token).await?.ok_or_else(refused)?;
            let client = token.client.as_ref().map(ClientId::as_str);
            // A token that no registered client got has no scopes, and is not limited by any.
            let is_limited = client.is_some_and(|id| clients.find(id).is_some()) || token.scope.is_some();
            Ok(Subject {
                owner: TokenOwner::Person { user_id: token.user_id, session_id: token.session_id },
                actors: None,
                scope: if is_limited { Limit::Scopes(token.scope) } else { Limit::Unlimited },
                credentials: Vec::new(),
                expires_at: token.expires_at,
                jti: token.jti,
            })
        }
        VerifiedToken::Client(token) if *token.audience == *requester => {
            let token = accept_client_token(service, token).await?.ok_or_else(refused)?;
            let token = token.claims();
            Ok(Subject {
                owner: TokenOwner::Client(token.client.clone()),
                actors: None,
                scope: Limit::Scopes(token.scope.clone()),
                credentials: vec![token.credential],
                expires_at: token.expires_at,
                jti: token.jti,
            })
        }
        VerifiedToken::Exchanged(token) if *token.audience == *requester => {
            let token = accept_exchanged_token(service, token).await?.ok_or_else(refused)?;
            let token = token.claims();
            let mut credentials = token.prior_credentials.to_vec();
            credentials.push(token.credential);
            Ok(Subject {
                owner: token.subject.clone(),
                actors: Some(token.actors.clone()),
                scope: Limit::Scopes(token.scope.clone()),
                credentials,
                expires_at: token.expires_at,
                jti: token.jti,
            })
        }
        VerifiedToken::Client(_) | VerifiedToken::Exchanged(_) => Err(refused()),
    }
}

/// Refuses a person who may not use one of the clients.
async fn refuse_other_groups(
    service: &Service,
    owner: &TokenOwner,
    clients: &[&Client],
) -> Result<(), ServiceError> {
    let TokenOwner::Person { user_id, .. } = owner else { return Ok(()) };
    for client in clients.iter().filter(|client| !client.allowed_groups.is_empty()) {
        if !service.store.is_in_any_group(*user_id, &client.allowed_groups).await? {
            return Err(ServiceError::InvalidSubjectToken);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn any_scopes() -> impl Strategy<Value = Vec<String>> {
        let names = ["a", "b", "ab", "orders:read", "users.write"].map(str::to_owned).to_vec();
        let count = names.len();
        prop::sample::subsequence(names, 0..=count)
    }

    proptest! {
        /// Whatever is requested, along any chain of exchanges.
        #[test]
        fn nothing_is_granted_that_the_requester_or_the_token_does_not_have(
            requesters in prop::collection::vec((any_scopes(), any_scopes()), 1..5),
            first in prop::option::of(any_scopes()),
        ) {
            let text = |scopes: &[String]| (!scopes.is_empty()).then(|| Arc::from(scopes.join(" ")));
            let mut limit = first.as_deref().map_or(Limit::Unlimited, |scopes| Limit::Scopes(text(scopes)));
            let mut had: Option<HashSet<String>> = first.map(|scopes| scopes.into_iter().collect());
            for (own, requested) in requesters {
                let Ok(granted) = decide_scope(&narrow(&own, &limit), &requested.join(" ")) else {
                    let may = |scope: &String| {
                        own.contains(scope) && had.as_ref().is_none_or(|had| had.contains(scope))
                    };
                    prop_assert!(!requested.iter().all(may), "{:?} is refused", requested);
                    return Ok(());
                };
                let granted: HashSet<String> =
                    granted.iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect();
                for scope in &granted {
                    prop_assert!(own.contains(scope), "{}", scope);
                    prop_assert!(had.as_ref().is_none_or(|had| had.contains(scope)), "{}", scope);
                    prop_assert!(requested.is_empty() || requested.contains(scope), "{}", scope);
                }
                limit = Limit::Scopes(text(&granted.iter().cloned().collect::<Vec<_>>()));
                had = Some(granted);
            }
        }
    }
}

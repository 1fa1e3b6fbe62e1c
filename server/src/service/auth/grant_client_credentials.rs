//! Issuing an access token to a client for itself (RFC 6749 §4.4).

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_clients::{Client, GrantType};
use serde_json::json;
use uuid::Uuid;

use crate::crypto::ClientGrant;
use crate::domain::{AuditEvent, AuditKind, Origin, Outcome};
use crate::service::{IssuedToken, NamedClient, Service, ServiceError};

/// A request for a token.
pub struct ClientTokenRequest<'a> {
    pub client: NamedClient<'a>,
    /// The requested scopes, separated by spaces; empty for all that the client may have.
    pub scope: &'a str,
    /// The requested resources (RFC 8707 §2), separated by spaces; empty for the client's first audience.
    pub resource: &'a str,
}

/// An access token of a client.
pub struct GrantedClientToken {
    pub access: IssuedToken,
    /// The granted scopes, separated by spaces; `None` if there are none.
    pub scope: Option<String>,
}

/// Authenticates a client and issues an access token for it. There is no refresh token (RFC 6749 §4.4.3).
///
/// # Errors
/// [`ServiceError::InvalidClient`], [`ServiceError::RateLimited`], [`ServiceError::UnauthorizedClient`],
/// [`ServiceError::InvalidScope`], [`ServiceError::InvalidTarget`], [`ServiceError::Unavailable`]
pub async fn grant_client_credentials(
    service: &Service,
    request: ClientTokenRequest<'_>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<GrantedClientToken, ServiceError> {
    let authenticated = request.client.authenticate(service, origin, now).await?;
    let client = &*authenticated.client;
    let emit = |outcome, detail| {
        // As an introspection, it changes nothing and may be frequent: a log line and a metric, no row.
        service.emit(&AuditEvent {
            kind: AuditKind::ClientTokenIssued,
            outcome,
            actor_id: None,
            user_id: None,
            session_id: None,
            origin: Some(origin),
            detail,
        });
    };
    let (scope, audience) = match decide(client, &request, service.audience()) {
        Ok(decided) => decided,
        Err((error, reason)) => {
            emit(Outcome::Refused, json!({ "client_id": client.client_id, "reason": reason }));
            return Err(error);
        }
    };
    let lifetime_ends = now + TimeDelta::seconds(client.access_token_ttl.into());
    let workload = authenticated.workload.as_ref();
    let grant = ClientGrant {
        client_id: &client.client_id,
        credential: authenticated.credential,
        audience,
        scope: scope.as_deref(),
        workload: workload.map(|workload| &workload.token),
        jti: Uuid::new_v4(),
        // The API server does not accept the token of the workload for longer.
        expires_at: workload.map_or(lifetime_ends, |workload| workload.expires_at.min(lifetime_ends)),
    };
    let access = service.tokens.sign_for_client(&grant, now)?;
    emit(
        Outcome::Success,
        json!({
            "client_id": client.client_id,
            "credential": grant.credential,
            "jti": grant.jti,
            "audience": audience,
            "scope": scope,
        }),
    );
    Ok(GrantedClientToken { access, scope })
}

/// The scopes and the audience of the token, or the error and its name in the audit log.
fn decide<'a>(
    client: &'a Client,
    request: &ClientTokenRequest<'_>,
    own_audience: &'a str,
) -> Result<(Option<String>, &'a str), (ServiceError, &'static str)> {
    if !client.grant_types.contains(&GrantType::ClientCredentials) {
        let error = ServiceError::UnauthorizedClient("This client may not use this grant.");
        return Err((error, "unauthorized_client"));
    }
    let scope = decide_scope(&client.scopes, request.scope).map_err(|error| (error, "invalid_scope"))?;
    let audience = decide_audience(&client.audiences, request.resource, own_audience)
        .map_err(|error| (error, "invalid_target"))?;
    Ok((scope, audience))
}

/// The requested scopes in the order in which the client has them; all of them if none is requested.
pub(super) fn decide_scope(allowed: &[String], requested: &str) -> Result<Option<String>, ServiceError> {
    let mut requested: HashSet<_> = requested.split(' ').filter(|scope| !scope.is_empty()).collect();
    let asks_for_all = requested.is_empty();
    let granted: Vec<_> =
        allowed.iter().map(String::as_str).filter(|scope| requested.remove(scope) || asks_for_all).collect();
    if !requested.is_empty() {
        return Err(ServiceError::InvalidScope);
    }
    Ok((!granted.is_empty()).then(|| granted.join(" ")))
}

fn decide_audience<'a>(
    allowed: &'a [String],
    requested: &str,
    own: &'a str,
) -> Result<&'a str, ServiceError> {
    let mut requested = requested.split(' ').filter(|resource| !resource.is_empty());
    let Some(resource) = requested.next() else { return Ok(allowed.first().map_or(own, String::as_str)) };
    if requested.next().is_some() {
        let reason = "A token has one audience: request it for one resource at a time.";
        return Err(ServiceError::InvalidTarget(reason));
    }
    allowed.iter().map(String::as_str).find(|audience| *audience == resource).ok_or(
        ServiceError::InvalidTarget("The requested resource is not among the audiences of this client."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn no_more_scopes_are_granted_than_the_client_may_have() {
        let allowed = list(&["read", "write", "delete"]);
        for (requested, granted) in [
            ("", Some("read write delete")),
            (" ", Some("read write delete")),
            ("write", Some("write")),
            ("delete read", Some("read delete")),
            ("read  read", Some("read")),
        ] {
            assert_eq!(decide_scope(&allowed, requested).unwrap().as_deref(), granted, "{requested:?}");
        }
        for requested in ["admin", "read admin", "Read", "rea", "read\twrite", "read\u{a0}", "\u{0}"] {
            assert!(decide_scope(&allowed, requested).is_err(), "{requested:?}");
        }
        assert_eq!(decide_scope(&[], "").unwrap(), None);
        assert!(decide_scope(&[], "read").is_err());
    }

    #[test]
    fn a_token_has_one_audience_which_the_client_may_request() {
        let allowed = list(&["https://a.example", "b"]);
        let own = "https://auth.example";
        for (requested, audience) in
            [("", "https://a.example"), ("b", "b"), (" b", "b"), ("https://a.example", "https://a.example")]
        {
            assert_eq!(decide_audience(&allowed, requested, own).unwrap(), audience, "{requested:?}");
        }
        for requested in [own, "https://a.example/", "B", "b b", "https://a.example b"] {
            assert!(decide_audience(&allowed, requested, own).is_err(), "{requested:?}");
        }
        assert_eq!(decide_audience(&[], "", own).unwrap(), own);
        assert!(decide_audience(&[], own, own).is_err());
    }
}

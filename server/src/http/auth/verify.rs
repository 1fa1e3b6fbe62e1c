//! `/api/v1/auth/verify`, forward authentication (docs/how-to/forward-authentication.md).

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use crate::domain::ClientId;
use crate::http::arrival::discard_unawaited;
use crate::http::bearer::bearer_token;
use crate::http::cookie;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, Identity, ServiceError};
use crate::store::Profile;

const USER_ID: HeaderName = HeaderName::from_static("x-auth-user-id");
const USERNAME: HeaderName = HeaderName::from_static("x-auth-username");
const EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const SUPERUSER: HeaderName = HeaderName::from_static("x-auth-superuser");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-auth-client-id");
const SCOPES: HeaderName = HeaderName::from_static("x-auth-scopes");
const GROUPS: HeaderName = HeaderName::from_static("x-auth-groups");

/// Authenticate a request for a reverse proxy
///
/// For nginx `auth_request`, Traefik `forwardAuth`, Caddy `forward_auth` and Envoy `ext_authz`. The access token is read
/// from the `Authorization` header or, if that is absent, from the cookie `access_token`. Any method and any path below
/// this one get the same response, since proxies pass on those of the original request. The response always has all
/// headers, so that a proxy replaces those of the original request; one that says nothing is empty.
#[utoipa::path(
    get, path = "/api/v1/auth/verify", tag = "programs", operation_id = "verify",
    security(("bearer" = []), ("password" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The account or the client that the token belongs to", headers(
            ("x-auth-user-id" = String, description = "The account's id; empty for a client's token"),
            ("x-auth-username" = String, description = "Its name; empty for a client's token"),
            ("x-auth-email" = String, description = "Its address; empty for a client's token"),
            ("x-auth-superuser" = bool, description = "Whether it may administer accounts; false for a token that a client exchanged"),
            ("x-auth-client-id" = String, description = "The client that the token was issued to, which acts for the account if it exchanged the token, by the name that it gave itself if it is not registered; empty for a name with spaces"),
            ("x-auth-scopes" = String, description = "The granted scopes of a token of a registered client, also of one that it exchanged, separated by spaces; otherwise empty"),
            ("x-auth-groups" = String, description = "The names of the account's groups when the token was issued, separated by commas; empty without the scope groups"),
        )),
        BearerProblems, UnavailableProblem,
    )
)]
pub async fn verify(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    discard_unawaited(&headers, body);
    let token = presented_token(&headers)?;
    let identity = service::identify_bearer(&state.service, token, Utc::now()).await?;
    let identity = identity_headers(&identity).ok_or_else(|| {
        // Never a yes without all of them: what is left out here a caller could put there himself.
        let bearer = match identity {
            Identity::Person { profile, .. } => format!("account {}", profile.id),
            Identity::Client(token) => format!("client {}", token.claims().client.as_str()),
            Identity::Exchanged(token) => format!("client {}", token.claims().actors.current().as_str()),
        };
        ServiceError::Internal(format!(
            "{bearer} has a name, an address, a scope or a group that is no header value"
        ))
    })?;
    let mut answer = (StatusCode::OK, [(CACHE_CONTROL, "no-store")]).into_response();
    answer.headers_mut().extend(identity);
    Ok(answer)
}

/// The header counts when there is one, whatever it holds: of two tokens none is chosen.
fn presented_token(headers: &HeaderMap) -> Result<&str, Problem> {
    if headers.contains_key(AUTHORIZATION) {
        return bearer_token(headers);
    }
    match cookie::find(headers, "access_token") {
        cookie::Found::None => Err(Problem::no_token()),
        cookie::Found::One(token) => Ok(token),
        cookie::Found::Unusable => Err(ServiceError::InvalidAccessToken.into()),
    }
}

/// Names, addresses, ids of clients, scopes and groups are ASCII; a person's name may be anything and is not among them.
fn identity_headers(identity: &Identity) -> Option<[(HeaderName, HeaderValue); 7]> {
    Some(match identity {
        Identity::Person { profile, token } => [
            (USER_ID, HeaderValue::from(profile.id)),
            (USERNAME, visible_ascii(&profile.username)?),
            (EMAIL, visible_ascii(&profile.email)?),
            (SUPERUSER, HeaderValue::from_static(if profile.is_superuser { "true" } else { "false" })),
            // Spaces at the ends of a header are removed: an unregistered name must not become that of a registered client.
            (
                CLIENT_ID,
                visible_ascii(ClientId::or_none_named(token.client.as_ref())).unwrap_or_else(nothing),
            ),
            (SCOPES, words(token.scope.as_deref().unwrap_or_default())?),
            (GROUPS, names(token.groups.as_deref().unwrap_or_default())?),
        ],
        Identity::Client(token) => {
            let token = token.claims();
            [
                (USER_ID, nothing()),
                (USERNAME, nothing()),
                (EMAIL, nothing()),
                (SUPERUSER, HeaderValue::from_static("false")),
                (CLIENT_ID, visible_ascii(token.client.as_str())?),
                (SCOPES, words(token.scope.as_deref().unwrap_or_default())?),
                (GROUPS, nothing()),
            ]
        }
        Identity::Exchanged(token) => {
            let claims = token.claims();
            let scopes = claims.scope.as_deref().unwrap_or_default();
            let person = token.person();
            let text = |text: fn(&Profile) -> &str| {
                person.map_or_else(|| Some(nothing()), |person| visible_ascii(text(person)))
            };
            [
                (USER_ID, person.map_or_else(nothing, |person| HeaderValue::from(person.id))),
                (USERNAME, text(|person| &person.username)?),
                (EMAIL, text(|person| &person.email)?),
                // The client has not got this right of the person.
                (SUPERUSER, HeaderValue::from_static("false")),
                (CLIENT_ID, visible_ascii(claims.actors.current().as_str())?),
                (SCOPES, words(scopes)?),
                (GROUPS, nothing()),
            ]
        }
    })
}

fn nothing() -> HeaderValue {
    HeaderValue::from_static("")
}

/// Words that are separated by spaces.
fn words(text: &str) -> Option<HeaderValue> {
    if text.is_empty() {
        return Some(nothing());
    }
    let is_safe = text.split(' ').all(|word| visible_ascii(word).is_some());
    is_safe.then(|| HeaderValue::from_str(text).ok()).flatten()
}

/// Names separated by commas, which the name of a group does not contain.
fn names(names: &[String]) -> Option<HeaderValue> {
    let is_safe = names.iter().all(|name| visible_ascii(name).is_some() && !name.contains(','));
    is_safe.then(|| HeaderValue::from_str(&names.join(",")).ok()).flatten()
}

fn visible_ascii(text: &str) -> Option<HeaderValue> {
    let safe = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    safe.then(|| HeaderValue::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::crypto::SessionToken;

    fn profile() -> Profile {
        Profile {
            id: 1,
            username: "anna".to_owned(),
            email: "anna@example.test".to_owned(),
            name: String::new(),
            is_superuser: false,
            is_active: true,
        }
    }

    fn token() -> SessionToken {
        SessionToken {
            user_id: 1,
            session_id: Uuid::nil(),
            jti: Uuid::nil(),
            issued_at: chrono::DateTime::UNIX_EPOCH,
            not_before: 0,
            expires_at: 0,
            client: None,
            scope: None,
            groups: None,
        }
    }

    proptest! {
        #[test]
        fn no_name_or_address_breaks_out_of_its_header(username in "\\PC{0,10}", email in any::<String>()) {
            let profile = Profile { username, email, ..profile() };
            let identity = Identity::Person { profile: profile.clone(), token: token() };
            if let Some(headers) = identity_headers(&identity) {
                prop_assert_eq!(headers[1].1.to_str().unwrap(), &profile.username);
                prop_assert_eq!(headers[2].1.to_str().unwrap(), &profile.email);
                prop_assert!(!profile.email.contains(['\r', '\n', '\0', ' ']));
            }
        }

        #[test]
        fn no_client_becomes_another_one_in_its_header(name in "[ -~]{1,12}") {
            let token = SessionToken { client: ClientId::parse(&name), ..token() };
            let headers = identity_headers(&Identity::Person { profile: profile(), token }).unwrap();
            let shown = headers[4].1.to_str().unwrap();
            prop_assert!(shown == name || (shown.is_empty() && name.contains(' ')), "{}", shown);
        }

        #[test]
        fn no_group_or_scope_becomes_another_one_in_its_header(
            names in prop::collection::vec("[a-c,\u{e4} /:]{0,4}|\\PC{0,3}", 0..4),
            scope in "[a-c \u{e4}\n]{0,6}",
        ) {
            let token = SessionToken {
                groups: Some(names.clone().into()),
                scope: Some(scope.as_str().into()),
                ..token()
            };
            if let Some(headers) = identity_headers(&Identity::Person { profile: profile(), token }) {
                prop_assert_eq!(headers[5].1.to_str().unwrap(), &scope);
                let shown = headers[6].1.to_str().unwrap();
                let read: Vec<_> = shown.split(',').filter(|name| !name.is_empty()).collect();
                prop_assert_eq!(read, names);
            }
        }
    }
}

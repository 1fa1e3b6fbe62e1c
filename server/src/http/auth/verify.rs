//! `/api/v1/auth/verify`, forward authentication (docs/how-to/forward-authentication.md).

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use crate::http::arrival::discard_unawaited;
use crate::http::bearer::bearer_token;
use crate::http::cookie;
use crate::http::problem::Problem;
use crate::http::problem_docs::{BearerProblems, UnavailableProblem};
use crate::http::state::ApiState;
use crate::service::{self, ServiceError};
use crate::store::Profile;

const USER_ID: HeaderName = HeaderName::from_static("x-auth-user-id");
const USERNAME: HeaderName = HeaderName::from_static("x-auth-username");
const EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const SUPERUSER: HeaderName = HeaderName::from_static("x-auth-superuser");

/// Authenticate a request for a reverse proxy
///
/// For nginx `auth_request`, Traefik `forwardAuth`, Caddy `forward_auth` and Envoy `ext_authz`. The access token is read
/// from the `Authorization` header or, if that is absent, from the cookie `access_token`. Any method and any path below
/// this one get the same response, since proxies pass on those of the original request.
#[utoipa::path(
    get, path = "/api/v1/auth/verify", tag = "programs", operation_id = "verify",
    security(("bearer" = []), ("password" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The account that the token belongs to", headers(
            ("x-auth-user-id" = i64, description = "The account's id"),
            ("x-auth-username" = String, description = "Its name"),
            ("x-auth-email" = String, description = "Its address"),
            ("x-auth-superuser" = bool, description = "Whether it may administer accounts"),
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
    let profile = service::show_profile(&state.service, token, Utc::now()).await?;
    let identity = identity_headers(&profile).ok_or_else(|| {
        // Never a yes without all of them: what is left out here a caller could put there himself.
        ServiceError::Internal(format!(
            "account {} has a name or address that is no header value",
            profile.id
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

/// Names and addresses are ASCII; a person's name may be anything and is not among them.
fn identity_headers(profile: &Profile) -> Option<[(HeaderName, HeaderValue); 4]> {
    Some([
        (USER_ID, HeaderValue::from(profile.id)),
        (USERNAME, visible_ascii(&profile.username)?),
        (EMAIL, visible_ascii(&profile.email)?),
        (SUPERUSER, HeaderValue::from_static(if profile.is_superuser { "true" } else { "false" })),
    ])
}

fn visible_ascii(text: &str) -> Option<HeaderValue> {
    let safe = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    safe.then(|| HeaderValue::from_str(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_name_or_address_breaks_out_of_its_header(username in "\\PC{0,10}", email in any::<String>()) {
            let profile = Profile {
                id: 1, username, email, name: String::new(), is_superuser: false, is_active: true,
            };
            if let Some(headers) = identity_headers(&profile) {
                prop_assert_eq!(headers[1].1.to_str().unwrap(), &profile.username);
                prop_assert_eq!(headers[2].1.to_str().unwrap(), &profile.email);
                prop_assert!(!profile.email.contains(['\r', '\n', '\0', ' ']));
            }
        }
    }
}

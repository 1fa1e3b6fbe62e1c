//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::{FieldError, ServiceError};

/// The `Retry-After` of a response when a dependency is down, in seconds.
const RETRY_SECONDS: u64 = 2;

/// An error response without its request id; the middleware adds that and writes the body.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    challenge: Option<&'static str>,
    retry_after: Option<u64>,
    /// `error` of RFC 6749 §5.2; the description is the detail.
    oauth_error: Option<&'static str>,
    /// What would have been accepted (RFC 9110 §15.5.16): `Accept` or `Accept-Encoding`.
    accepted: Option<(HeaderName, HeaderValue)>,
    /// For the log only.
    cause: Option<String>,
}

/// The body of an error response.
#[derive(Serialize, ToSchema)]
pub struct ProblemBody {
    /// `about:blank`: the status is the kind of problem (RFC 9457 §4.2.1).
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: &'static str,
    /// The reason phrase of the status.
    #[schema(example = "Unauthorized")]
    pub title: &'static str,
    /// The status code.
    #[schema(example = 401)]
    pub status: u16,
    /// One sentence for people.
    pub detail: String,
    /// The request id, as in the header `x-request-id` and in the log.
    pub instance: String,
    /// The invalid fields, with status 422.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// RFC 6749 §5.2, only from `/token`, `/introspect` and `/revoke`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// RFC 6749 §5.2, only from `/token`, `/introspect` and `/revoke`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}

/// An invalid field.
#[derive(Serialize, ToSchema)]
pub struct FieldProblem {
    /// Its name.
    pub field: String,
    /// The fault.
    pub message: String,
}

/// RFC 6750 §3: the challenge without an error is for requests that carry no token at all.
const CHALLENGE: &str = r#"Bearer realm="latchkey""#;
const CHALLENGE_INVALID: &str =
    r#"Bearer realm="latchkey", error="invalid_token", error_description="The access token is not valid""#;
/// RFC 7617 §2.1
const CHALLENGE_CLIENT: &str = r#"Basic realm="latchkey", charset="UTF-8""#;
const CHALLENGE_EITHER: &str = r#"Bearer realm="latchkey", Basic realm="latchkey", charset="UTF-8""#;
const CHALLENGE_SCOPE: &str = r#"Bearer realm="latchkey", error="insufficient_scope""#;

impl Problem {
    /// A problem with this status and detail.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            errors: Vec::new(),
            challenge: None,
            retry_after: None,
            oauth_error: None,
            accepted: None,
            cause: None,
        }
    }

    /// `401` for a request without an access token.
    pub fn no_token() -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, "An access token is needed.");
        problem.challenge = Some(CHALLENGE);
        problem
    }

    /// `401` for a program without credentials, where its own or an access token are accepted.
    pub fn no_client() -> Self {
        let mut problem =
            Self::new(StatusCode::UNAUTHORIZED, "A client secret or an access token is needed.");
        problem.challenge = Some(CHALLENGE_EITHER);
        problem
    }

    /// The same problem with the members of RFC 6749 §5.2.
    pub fn with_oauth_error(mut self, error: &'static str) -> Self {
        self.oauth_error = Some(error);
        self
    }

    /// `error` of RFC 6749 §5.2.
    pub fn oauth_error(&self) -> Option<&'static str> {
        self.oauth_error
    }

    /// The same problem with those members; the status chooses `error` if nothing else has.
    pub fn or_oauth_error(mut self) -> Self {
        self.oauth_error.get_or_insert(match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => "temporarily_unavailable",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request",
        });
        self
    }

    /// The same problem with a header that names what would have been accepted.
    pub fn with_accepted(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.accepted = Some((name, value));
        self
    }

    /// The same problem with another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Adds the error chain, for the log only.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Writes the response.
    pub fn render(self, request_id: &str) -> Response {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            instance: request_id.to_owned(),
            errors: self
                .errors
                .into_iter()
                .map(|error| FieldProblem { field: error.field.to_owned(), message: error.message })
                .collect(),
            error: self.oauth_error,
            error_description: self.oauth_error.map(|_| self.detail.clone()),
            detail: self.detail,
        };
        let mut headers = HeaderMap::new();
        // Clients of the OAuth endpoints read nothing but application/json, and take a challenge for the error itself.
        let is_oauth = self.oauth_error.is_some();
        let media_type = if is_oauth { "application/json" } else { "application/problem+json" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = self.accepted {
            headers.insert(name, value);
        }
        let has_challenge = !is_oauth || self.status == StatusCode::UNAUTHORIZED;
        if let Some(challenge) = self.challenge.filter(|_| has_challenge) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        // A struct of strings and numbers always serialises.
        let text = serde_json::to_string(&body).unwrap_or_default();
        (self.status, headers, text).into_response()
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        let plain = |status| Self::new(status, detail.clone());
        match error {
            ServiceError::InvalidCredentials => {
                Self { challenge: Some(CHALLENGE), ..plain(StatusCode::UNAUTHORIZED) }
            }
            ServiceError::InvalidAccessToken | ServiceError::InvalidRefreshToken => {
                Self { challenge: Some(CHALLENGE_INVALID), ..plain(StatusCode::UNAUTHORIZED) }
            }
            ServiceError::InvalidClient => {
                Self { challenge: Some(CHALLENGE_CLIENT), ..plain(StatusCode::UNAUTHORIZED) }
            }
            ServiceError::UnauthorizedClient(_)
            | ServiceError::InvalidScope
            | ServiceError::InvalidTarget(_)
            | ServiceError::InvalidSubjectToken => plain(StatusCode::BAD_REQUEST),
            ServiceError::Deactivated
            | ServiceError::Unverified
            | ServiceError::NotAllowedClient
            | ServiceError::RegistrationDisabled
            | ServiceError::AccountDeletionDisabled => plain(StatusCode::FORBIDDEN),
            ServiceError::NotSuperuser
            | ServiceError::NotPermitted(_)
            | ServiceError::InsufficientScope(_)
            | ServiceError::HoldsMore => {
                Self { challenge: Some(CHALLENGE_SCOPE), ..plain(StatusCode::FORBIDDEN) }
            }
            ServiceError::InvalidOneTimeToken => Self {
                errors: vec![FieldError::new("token", "is not valid, was used or has expired")],
                ..plain(StatusCode::UNPROCESSABLE_ENTITY)
            },
            ServiceError::NotFound | ServiceError::UnknownAccount | ServiceError::UnknownGroup => {
                plain(StatusCode::NOT_FOUND)
            }
            ServiceError::Conflict(_) | ServiceError::LastSuperuser | ServiceError::AccountInactive => {
                plain(StatusCode::CONFLICT)
            }
            ServiceError::Invalid(errors) => Self { errors, ..plain(StatusCode::UNPROCESSABLE_ENTITY) },
            ServiceError::MailDisabled | ServiceError::InvitationNeedsMail => {
                Self { retry_after: Some(3600), ..plain(StatusCode::SERVICE_UNAVAILABLE) }
            }
            ServiceError::RateLimited(wait) => {
                Self { retry_after: Some(whole_seconds(wait)), ..plain(StatusCode::TOO_MANY_REQUESTS) }
            }
            ServiceError::Overloaded(wait) => {
                Self { retry_after: Some(whole_seconds(wait)), ..plain(StatusCode::SERVICE_UNAVAILABLE) }
            }
            ServiceError::Unavailable(cause) => Self {
                retry_after: Some(RETRY_SECONDS),
                cause: Some(cause),
                ..plain(StatusCode::SERVICE_UNAVAILABLE)
            },
            ServiceError::Internal(cause) => {
                Self { cause: Some(cause), ..plain(StatusCode::INTERNAL_SERVER_ERROR) }
            }
        }
    }
}

/// Rounded up, so that a client that waits that long is accepted.
pub fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for Problem {
    /// Passes the problem to the middleware, which knows the request id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

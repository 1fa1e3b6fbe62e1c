//! The answer of login and refresh.

use axum::Json;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::cookie::Cookies;
use super::problem::Problem;
use crate::service::{IssuedToken, ServiceError, TokenPair};

/// A pair of tokens.
#[derive(Serialize, ToSchema)]
pub struct TokenPairBody {
    /// Whose.
    #[schema(example = "john")]
    username: String,
    /// For `Authorization: Bearer`.
    access_token: TokenBody,
    /// For one exchange at `/refresh`.
    refresh_token: TokenBody,
}

/// One token.
#[derive(Serialize, ToSchema)]
pub struct TokenBody {
    /// The JWT.
    token: String,
    /// Seconds until it expires.
    #[schema(example = 604_800)]
    expires_in: i64,
    /// Always `bearer`.
    #[schema(example = "bearer")]
    token_type: &'static str,
}

impl From<IssuedToken> for TokenBody {
    fn from(issued: IssuedToken) -> Self {
        Self { token: issued.token, expires_in: issued.expires_in, token_type: "bearer" }
    }
}

/// `200` with the pair, the cookie, and `Cache-Control: no-store` (RFC 6749 §5.1).
pub fn answer(cookies: Cookies<'_>, pair: TokenPair) -> Result<Response, Problem> {
    let cookie = cookies
        .refresh_token(&pair.refresh.token, pair.refresh.expires_in)
        .map_err(|error| ServiceError::Internal(format!("a cookie: {error}")))?;
    let body = TokenPairBody {
        username: pair.username,
        access_token: pair.access.into(),
        refresh_token: pair.refresh.into(),
    };
    let headers = [(SET_COOKIE, cookie), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((headers, Json(body)).into_response())
}

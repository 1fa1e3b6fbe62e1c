//! The `Authorization` header (RFC 6750 §2.1).

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use chrono::Utc;

use super::arrival::check_arrived;
use super::problem::Problem;
use super::state::ApiState;
use crate::service::{
    Authenticated, Principal, ServiceError, authenticate, authenticate_principal,
    authenticate_principal_to_end, authenticate_to_end,
};

/// The bearer of a valid access token of a person. An endpoint that extracts it requires authentication. The token is
/// checked after the whole request has arrived.
pub struct Bearer(pub Authenticated);

impl FromRequestParts<ApiState> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        check_arrived(parts)?;
        let token = bearer_token(&parts.headers)?;
        Ok(Self(authenticate(&state.service, token, Utc::now()).await?))
    }
}

/// The same for an endpoint that ends sessions and may be asked to do so again: see [`authenticate_to_end`].
pub struct EndingBearer(pub Authenticated);

impl FromRequestParts<ApiState> for EndingBearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        check_arrived(parts)?;
        let token = bearer_token(&parts.headers)?;
        Ok(Self(authenticate_to_end(&state.service, token, Utc::now()).await?))
    }
}

/// As [`Bearer`], or a client with an access token of its own for this service: for administration.
pub struct AnyBearer(pub Principal);

impl FromRequestParts<ApiState> for AnyBearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        check_arrived(parts)?;
        let token = bearer_token(&parts.headers)?;
        Ok(Self(authenticate_principal(&state.service, token, Utc::now()).await?))
    }
}

/// As [`EndingBearer`], or a client.
pub struct AnyEndingBearer(pub Principal);

impl FromRequestParts<ApiState> for AnyEndingBearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        check_arrived(parts)?;
        let token = bearer_token(&parts.headers)?;
        Ok(Self(authenticate_principal_to_end(&state.service, token, Utc::now()).await?))
    }
}

/// The token of the header, unchecked, after the whole request has arrived.
pub struct UncheckedBearer(pub String);

impl FromRequestParts<ApiState> for UncheckedBearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        check_arrived(parts)?;
        Ok(Self(bearer_token(&parts.headers)?.to_owned()))
    }
}

/// The token of the header, unchecked.
///
/// # Errors
/// `401` when there is none, or another scheme, or more than one header.
pub fn bearer_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(Problem::no_token)?;
    if values.next().is_some() {
        return Err(ServiceError::InvalidAccessToken.into());
    }
    let text = value.to_str().map_err(|_| Problem::from(ServiceError::InvalidAccessToken))?;
    match text.split_once(' ') {
        // RFC 9110 §11.1: the scheme's case does not matter.
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Problem::no_token()),
    }
}

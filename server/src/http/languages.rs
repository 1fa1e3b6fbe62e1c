//! The languages that the caller's software asks for.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::request::Parts;

use crate::domain::Locale;

/// The dearest first; none where the header says nothing that we understand.
pub struct AcceptedLanguages(pub Vec<Locale>);

impl<S: Send + Sync> FromRequestParts<S> for AcceptedLanguages {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Ok(Self(header.map(Locale::accepted).unwrap_or_default()))
    }
}

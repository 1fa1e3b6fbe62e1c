//! The languages that the caller's software asks for.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::header::ACCEPT_LANGUAGE;
use axum::http::request::Parts;

use crate::domain::Locale;

/// The dearest first; none where the header says nothing that we understand.
pub struct AcceptedLanguages(pub Vec<Locale>);

impl<S: Send + Sync> FromRequestParts<S> for AcceptedLanguages {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Several headers are one list (RFC 9110 §5.3). An entry that is no text is no language, and says nothing of others.
        let lines = parts.headers.get_all(ACCEPT_LANGUAGE).iter().map(HeaderValue::as_bytes);
        let list = lines.collect::<Vec<_>>().join(&b',');
        Ok(Self(Locale::accepted(&String::from_utf8_lossy(&list))))
    }
}

//! What the pages have in common: their frame, their headers, their failures.

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest;
use axum::extract::{FromRequestParts, Query};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use latchkey_config::PasswordPolicy;
use serde::Deserialize;

use super::texts::PageTexts;
use crate::http::problem::{Problem, whole_seconds};
use crate::service::ServiceError;

const STYLE: &str = include_str!("../../../templates/page.css");

/// The very style of the page and a form that posts to where it came from; no script, no frame, nothing from
/// elsewhere (Content Security Policy Level 3).
static CSP: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// How long a browser is asked to wait when a dependency is down, in seconds.
const RETRY_SECONDS: &str = "2";

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    texts: &'a PageTexts,
    style: &'a str,
    title: &'a str,
    body: PageBody<'a>,
}

/// What a page is about.
pub(super) enum PageBody<'a> {
    /// A password is to be chosen.
    Password { token: &'a str, username: &'a str, policy: &'a PasswordPolicy, error: Option<String> },
    /// One button is to be pressed, or not.
    Question {
        action: &'a str,
        token: &'a str,
        text: &'a str,
        username: &'a str,
        address: &'a str,
        button: &'a str,
        failed: bool,
    },
    /// That is all.
    Message(&'a str),
}

/// The token in the link; empty when there is none that can be read.
pub struct LinkToken(pub String);

#[derive(Deserialize)]
struct LinkQuery {
    #[serde(default)]
    token: String,
}

impl<S: Send + Sync> FromRequestParts<S> for LinkToken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::<LinkQuery>::try_from_uri(&parts.uri);
        Ok(Self(query.map(|Query(query)| query.token).unwrap_or_default()))
    }
}

/// The whole page.
pub(super) fn answer(
    status: StatusCode,
    texts: &PageTexts,
    title: &str,
    body: PageBody<'_>,
) -> Result<Response, Problem> {
    let html = Page { texts, style: STYLE, title, body }
        .render()
        .map_err(|error| ServiceError::Internal(format!("a page: {error}")))?;
    let csp =
        HeaderValue::from_str(&CSP).map_err(|error| ServiceError::Internal(format!("a policy: {error}")))?;
    // The token stands in the address: it must go neither into a Referer nor into a cache.
    let headers = [
        (CONTENT_SECURITY_POLICY, csp),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    let mut response = (status, headers, Html(html)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    Ok(response)
}

/// The page for a link that cannot be used, or not now.
pub(super) fn failure(texts: &PageTexts, error: ServiceError) -> Result<Response, Problem> {
    match error {
        ServiceError::InvalidOneTimeToken => {
            answer(StatusCode::GONE, texts, texts.dead_link_title, PageBody::Message(texts.dead_link))
        }
        ServiceError::Overloaded(_) | ServiceError::Unavailable(_) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            answer(status, texts, texts.try_again_title, PageBody::Message(texts.try_again))
        }
        ServiceError::RateLimited(wait) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let mut page = answer(status, texts, texts.try_again_title, PageBody::Message(texts.too_often))?;
            page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
            Ok(page)
        }
        other => Err(other.into()),
    }
}

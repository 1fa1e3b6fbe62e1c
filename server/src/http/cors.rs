//! Which pages of other origins may call (the Fetch standard's CORS protocol).

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::browser::{Audience, BrowserPolicy};
use super::prefix::is_verify_path;

const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,POST,PUT,PATCH,DELETE");
/// The headers of a response that a page may read, apart from those that every page may (Fetch §2.2.2).
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "location,retry-after,www-authenticate,x-request-id,accept,accept-encoding,allow",
);
/// How long a browser caches a preflight response, in seconds: Chromium's maximum of two hours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");
/// The number and the length of requested header names that are repeated.
const MAX_NAMES: usize = 64;
const MAX_NAME: usize = 128;

/// Answers preflight requests, and lets pages of the allowed origins read every response.
pub async fn allow_origins(State(policy): State<BrowserPolicy>, request: Request, next: Next) -> Response {
    // A proxy asks there about requests to another application, whose preflights are not ours to allow.
    if is_verify_path(request.uri().path()) {
        return next.run(request).await;
    }
    let allowed = policy.origins().find(request.headers());
    let audience = Audience::of(request.uri().path());
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &allowed {
        Some(_) if is_preflight => preflight(request.headers()),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    // A preflight request does not reach the layer that adds them to other responses.
    policy.add_headers(audience, headers);
    headers.append(VARY, if is_preflight { VARY_PREFLIGHT } else { HeaderValue::from_static("origin") });
    if let Some(origin) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        // Without it a browser drops the cookies that a login on another origin of the same site sets. They let
        // nobody in by themselves: what changes something needs the bearer.
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if !is_preflight {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
    response
}

/// Allows every header that is asked for: tracing libraries add their own (`baggage`, `sentry-trace`), and no header has
/// an effect that a page of an allowed origin must not have.
fn preflight(headers: &HeaderMap) -> Response {
    let mut response = StatusCode::OK.into_response();
    let answer = response.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    let lines = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().map(HeaderValue::as_bytes);
    let names = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let names = names.filter(|name| name.len() <= MAX_NAME).take(MAX_NAMES);
    // Only names of headers are repeated, in lower case.
    let names: Vec<_> = names.filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
    let list = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(",");
    if !list.is_empty()
        && let Ok(list) = HeaderValue::from_str(&list)
    {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, list);
    }
    response
}

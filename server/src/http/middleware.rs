//! The outermost layer of every request: id, span, log line, metrics and the problem body.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{ALLOW, CONNECTION, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ipnet::IpNet;
use tower_http::catch_panic::ResponseForPanic;
use tracing::Instrument as _;
use uuid::Uuid;

use super::client_address::decide_client_address;
use super::oauth::is_oauth_path;
use super::problem::Problem;
use super::state::ApiState;
use crate::domain::Origin;
use crate::service::ServiceError;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer request id of a caller is replaced.
const MAX_REQUEST_ID: usize = 64;
/// The id of a request, in the answer, in every log line and in the audit: the caller's own if it is harmless,
/// else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let harmless = |text: &&str| {
        (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(harmless);
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// The origin of a request. Handlers extract it as [`RequestOrigin`].
fn origin(request: &Request, trusted_proxies: &[IpNet]) -> Origin {
    let headers = request.headers();
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    // Bytes that are not text must not keep the rest out of the audit.
    let user_agent = headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Origin {
        request_id: request_id(headers),
        address: decide_client_address(peer, headers, trusted_proxies),
        user_agent: user_agent
            .map(|text| text.chars().filter(|c| !c.is_control()).take(Origin::MAX_USER_AGENT).collect()),
    }
}

/// The origin of the current request, for handlers.
#[derive(Clone)]
pub struct RequestOrigin(pub Arc<Origin>);

impl<S: Send + Sync> FromRequestParts<S> for RequestOrigin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| ServiceError::Internal("a route outside the middleware".to_owned()).into())
    }
}

/// The outermost layer.
pub async fn observe(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let origin = Arc::new(origin(&request, &state.trusted_proxies));
    let request_id = origin.request_id.as_str();
    let method = request.method().clone();
    // The template, not the path: a path may hold an address, and there are as many as callers like.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |matched| matched.as_str().to_owned());
    let is_oauth = is_oauth_path(request.uri().path());
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        request_id,
        method = method.as_str(),
        route,
        http.response.status_code = tracing::field::Empty,
    );
    crate::telemetry::continue_trace(&span, request.headers());
    request.extensions_mut().insert(RequestOrigin(Arc::clone(&origin)));
    let mut response = next.run(request).instrument(span.clone()).await;
    let entered = span.enter();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if let Some(cause) = problem.cause() {
            if problem.status() == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(cause, "a request failed");
            } else {
                tracing::warn!(cause, "a request could not be answered");
            }
        }
        let problem = if is_oauth { problem.or_oauth_error() } else { problem };
        response = with_headers_of(&response, problem.render(request_id));
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(&REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    let elapsed = started.elapsed().as_secs_f64();
    span.record("http.response.status_code", status);
    tracing::info!(status, duration_ms = elapsed * 1000.0, "answered");
    drop(entered);
    state.metrics.observe_request(&route, method.as_str(), status, elapsed);
    response
}

/// Keeps the headers that inner layers set beside the problem: `Allow` with 405, `Connection` with 408.
fn with_headers_of(inner: &Response, mut outer: Response) -> Response {
    for name in [ALLOW, CONNECTION] {
        if let Some(value) = inner.headers().get(&name) {
            outer.headers_mut().insert(name, value.clone());
        }
    }
    outer
}

/// Answers a panic with `500`; the panic hook has logged it.
#[derive(Clone, Copy)]
pub struct AnswerPanic;

impl ResponseForPanic for AnswerPanic {
    type ResponseBody = axum::body::Body;

    fn response_for_panic(&mut self, _: Box<dyn Any + Send + 'static>) -> Response<Self::ResponseBody> {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.").into_response()
    }
}

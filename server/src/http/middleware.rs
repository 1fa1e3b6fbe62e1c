//! The outermost layer of every request: id, log line, trace, metrics, security headers and the problem body. It is one
//! layer, because each layer of axum costs several allocations.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{ALLOW, CONNECTION, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use futures::FutureExt as _;
use ipnet::IpNet;
use tracing::Instrument as _;
use uuid::Builder;

use super::arrival;
use super::browser::{Audience, BrowserPolicy};
use super::client_address::decide_client_address;
use super::oauth::is_oauth_path;
use super::problem::Problem;
use super::state::ApiState;
use crate::domain::Origin;
use crate::service::ServiceError;
use crate::telemetry::{RequestLabels, request_span};

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
    given.map_or_else(new_request_id, str::to_owned)
}

/// A UUIDv7 without a system call for randomness: it has to be unique, not secret.
fn new_request_id() -> String {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&count.to_be_bytes()[6..]);
    bytes[2..].copy_from_slice(&HASHER.hash_one(count).to_be_bytes());
    let now = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
    Builder::from_unix_timestamp_millis(now, &bytes).into_uuid().to_string()
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

/// The state of [`observe`].
pub struct Observation {
    pub state: ApiState,
    pub browsers: BrowserPolicy,
}

/// The outermost layer.
pub async fn observe(
    State(observation): State<Arc<Observation>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let Observation { state, browsers } = &*observation;
    let origin = Arc::new(origin(&request, &state.trusted_proxies));
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let mut labels = RequestLabels {
        origin: Arc::clone(&origin),
        method: request.method().clone(),
        route: route.into(),
        status: None,
    };
    let is_oauth = is_oauth_path(request.uri().path());
    let audience = Audience::of(request.uri().path());
    let span = request_span(&labels, request.headers());
    request.extensions_mut().insert(RequestOrigin(origin));
    let answered = labels.clone().scope(AssertUnwindSafe(answer(request, next)).catch_unwind());
    // The panic hook has logged a panic.
    let mut response = answered.instrument(span.clone()).await.unwrap_or_else(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.").into_response()
    });
    let entered = span.enter();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        labels.clone().sync_scope(|| log_cause(&problem));
        let problem = if is_oauth { problem.or_oauth_error() } else { problem };
        response = with_headers_of(&response, problem.render(&labels.origin.request_id));
    }
    if let Ok(value) = HeaderValue::from_str(&labels.origin.request_id) {
        response.headers_mut().insert(&REQUEST_ID, value);
    }
    browsers.add_headers(audience, response.headers_mut());
    let status = response.status().as_u16();
    let elapsed = started.elapsed().as_secs_f64();
    span.record("http.response.status_code", status);
    state.metrics.observe_request(&labels.route, labels.method.as_str(), status, elapsed);
    labels.status = Some(status);
    labels.sync_scope(|| tracing::info!(status, duration_ms = elapsed * 1000.0, "answered"));
    drop(entered);
    response
}

async fn answer(request: Request, next: Next) -> Response {
    if arrival::declares_large_body(&request) {
        arrival::refuse_large_body(request).await
    } else {
        next.run(request).await
    }
}

fn log_cause(problem: &Problem) {
    let Some(cause) = problem.cause() else { return };
    if problem.status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(cause, "a request failed");
    } else {
        tracing::warn!(cause, "a request could not be answered");
    }
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::{Uuid, Version};

    use super::*;

    #[test]
    fn request_ids_are_different_uuids_of_version_7() {
        let ids: HashSet<_> = (0..100_000).map(|_| new_request_id()).collect();
        assert_eq!(ids.len(), 100_000);
        assert!(
            ids.iter().all(|id| {
                Uuid::parse_str(id).is_ok_and(|id| id.get_version() == Some(Version::SortRand))
            })
        );
    }
}

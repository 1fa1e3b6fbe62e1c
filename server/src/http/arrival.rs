//! A body arrives before anything is decided about its request. Who holds the body back and lets the headers go ahead
//! would otherwise be authenticated by them, and act when the token has long been revoked.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;

use super::connections::RequestActivity;
use super::prefix::is_verify_path;
use super::problem::Problem;
use crate::service::{LONGEST_FEED_WAIT, ServiceError};

/// The largest body that is read, in bytes. The largest sensible one is a form with a 256-character password.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a whole body may take, however steadily it trickles.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// How long the response may take, from the last byte of the request. Every step on the way has a shorter deadline of
/// its own and a better error; this one covers their sum.
const RESPONSE_DEADLINE: Duration = Duration::from_millis(4_800);
/// How much of a body that is too large is read and thrown away, and for how long.
const MAX_DISCARDED_BYTES: usize = 8 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for a body that may not come at all, for which the connection stays open.
const UNAWAITED_TIMEOUT: Duration = Duration::from_secs(1);

/// In the extensions of a request whose body has arrived, or has none.
#[derive(Debug, Clone, Copy)]
struct Arrived;

/// In the extensions of a request whose body is not there for the reading. It is for the handler to say so, after what
/// is to be said before: that the caller is not known, or may not do it.
#[derive(Debug, Clone, Copy)]
enum Spoilt {
    TooLarge,
    Unreadable,
}

/// Reads the whole body, within [`BODY_DEADLINE`] and [`MAX_BODY_BYTES`], before any extractor runs.
pub async fn await_body(request: Request, next: Next) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let mut active = None;
    if !body.is_end_stream() {
        body = match tokio::time::timeout(BODY_DEADLINE, collect(body)).await {
            Ok(Ok(bytes)) => Body::from(bytes),
            Ok(Err(spoilt)) => {
                parts.extensions.insert(spoilt);
                Body::empty()
            }
            Err(_) => return refuse_late(parts.version),
        };
        active = parts.extensions.get().map(RequestActivity::begin);
    }
    parts.extensions.insert(Arrived);
    let response = answer_in_time(Request::from_parts(parts, body), next).await;
    drop(active);
    response
}

/// Bounds the time of the response, whatever the server waits for. A client that gets no response cannot tell a slow
/// server from a dead one, and repeats the request.
pub async fn answer_in_time(request: Request, next: Next) -> Response {
    answer_within(RESPONSE_DEADLINE, request, next).await
}

/// The same where a request may ask to wait for a change of the feed of revocations.
pub async fn answer_after_waiting(request: Request, next: Next) -> Response {
    answer_within(RESPONSE_DEADLINE + LONGEST_FEED_WAIT, request, next).await
}

async fn answer_within(deadline: Duration, request: Request, next: Next) -> Response {
    if let Ok(response) = tokio::time::timeout(deadline, next.run(request)).await {
        return response;
    }
    let cause = format!("no response was ready within {} s", deadline.as_secs_f32());
    Problem::from(ServiceError::Unavailable(cause)).into_response()
}

/// The same for the management port, which has no problem bodies.
pub async fn answer_in_time_without_problem(request: Request, next: Next) -> Response {
    let response = tokio::time::timeout(RESPONSE_DEADLINE, next.run(request)).await;
    response.unwrap_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

async fn collect(body: Body) -> Result<Bytes, Spoilt> {
    let mut kept = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Spoilt::Unreadable)?;
        if kept.len() + chunk.len() > MAX_BODY_BYTES {
            discard(chunks, DISCARD_TIMEOUT).await;
            return Err(Spoilt::TooLarge);
        }
        kept.extend_from_slice(&chunk);
    }
    Ok(kept.into())
}

/// The rest of the body is not a request, so the connection cannot be reused.
fn refuse_late(version: Version) -> Response {
    let detail = format!("The body did not arrive within {} seconds.", BODY_DEADLINE.as_secs());
    let mut response = Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response();
    // RFC 9110 §15.5.9; HTTP/2 knows no such header (RFC 9113 §8.2.2).
    if version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// `413`
pub fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {MAX_BODY_BYTES} bytes."))
}

/// Asserts that the body has arrived: no request is authenticated before.
///
/// # Errors
/// [`ServiceError::Internal`] for a route outside of [`await_body`].
pub fn check_arrived(parts: &Parts) -> Result<(), Problem> {
    match parts.extensions.get::<Arrived>() {
        Some(Arrived) => Ok(()),
        None => Err(ServiceError::Internal("a route that does not wait for the body".to_owned()).into()),
    }
}

/// Asserts that the body is readable.
///
/// # Errors
/// `400`, `413`
pub fn check_readable(request: &Request) -> Result<(), Problem> {
    match request.extensions().get::<Spoilt>() {
        None => Ok(()),
        Some(Spoilt::TooLarge) => Err(too_large()),
        Some(Spoilt::Unreadable) => Err(Problem::new(StatusCode::BAD_REQUEST, "The body could not be read.")),
    }
}

/// Whether the headers say that the body is too large.
pub fn declares_large_body(request: &Request) -> bool {
    let Some(declared) = request.headers().get(CONTENT_LENGTH) else { return false };
    let length = declared.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    // A proxy that asks about another application's request may pass on its length, but not its body.
    length.is_some_and(|length| length > MAX_BODY_BYTES) && !is_verify_path(request.uri().path())
}

/// Refuses such a body without keeping any of it. It is read and thrown away within bounds, since a client that is still
/// sending would see a broken connection instead of the answer.
pub async fn refuse_large_body(request: Request) -> Response {
    discard(request.into_body().into_data_stream(), DISCARD_TIMEOUT).await;
    too_large().into_response()
}

/// Reads and throws away a body that nobody waits for, within bounds, while the response is on its way: a client
/// that is still sending would see a broken connection instead. A client that expects to be asked for the body is not.
pub fn discard_unawaited(headers: &HeaderMap, body: Body) {
    if !body.is_end_stream() && !headers.contains_key(EXPECT) {
        tokio::spawn(discard(body.into_data_stream(), UNAWAITED_TIMEOUT));
    }
}

async fn discard(mut chunks: BodyDataStream, timeout: Duration) {
    let mut left = MAX_DISCARDED_BYTES;
    let discard = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    // The response is the same whether or not everything was read.
    let _ = tokio::time::timeout(timeout, discard).await;
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    async fn never() -> &'static str {
        std::future::pending().await
    }

    #[tokio::test]
    async fn a_handler_that_never_returns_is_answered_in_time_on_both_ports() {
        let api = Router::new().route("/", get(never).post(never)).route_layer(from_fn(await_body));
        let verify = Router::new().route("/", get(never)).route_layer(from_fn(answer_in_time));
        let management = Router::new().route("/", get(never)).layer(from_fn(answer_in_time_without_problem));
        let responses = [api, verify, management].map(|router| {
            tokio::time::timeout(RESPONSE_DEADLINE * 4, router.oneshot(Request::new(Body::empty())))
        });
        for response in futures::future::join_all(responses).await {
            assert_eq!(response.expect("a response").unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    }
}

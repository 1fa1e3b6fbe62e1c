//! `GET /status` over HTTP/1.1, with bounds for the head and the body of the response.

use std::net::SocketAddr;

use http::header::{ACCEPT, CONNECTION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Why there is no response.
pub(super) enum Failure {
    /// The head or the body of the response is larger than permitted.
    TooLarge,
    /// The connection was accepted, but ended without an HTTP response, or the request was denied: a service mesh or
    /// another program answers in place of the server.
    Denied,
}

/// The responses with which the proxies of service meshes deny a request.
const DENIED: [StatusCode; 4] =
    [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::UPGRADE_REQUIRED];

/// The body of the response; `None` if there is no response, or one with another status than 200. A redirect is not
/// followed. Sets `responds` when the head of the response is complete.
///
/// # Errors
/// When the head or the body has more than `most_bytes`, or the request was denied.
pub(super) async fn get_status(
    address: SocketAddr,
    most_bytes: usize,
    responds: &mut bool,
) -> Result<Option<Bytes>, Failure> {
    let (Ok(stream), Ok(request)) = (TcpStream::connect(address).await, build(address)) else {
        return Ok(None);
    };
    let handshake = http1::Builder::new().max_buf_size(most_bytes).handshake(TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = handshake else { return Ok(None) };
    // Dropping the set closes the connection, also when the caller stops waiting.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) if error.is_parse_too_large() => return Err(Failure::TooLarge),
        Err(_) => return Err(Failure::Denied),
    };
    *responds = true;
    if DENIED.contains(&response.status()) {
        return Err(Failure::Denied);
    }
    if response.status() != StatusCode::OK {
        return Ok(None);
    }
    match Limited::new(response.into_body(), most_bytes).collect().await {
        Ok(body) => Ok(Some(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
        Err(_) => Ok(None),
    }
}

fn build(address: SocketAddr) -> http::Result<Request<Empty<Bytes>>> {
    Request::get("/status")
        .header(HOST, address.to_string())
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Empty::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_ip_address_of_the_pod() {
        for (address, host) in [("10.0.0.1:9090", "10.0.0.1:9090"), ("[fd00::1]:9090", "[fd00::1]:9090")] {
            let request = build(address.parse().unwrap()).unwrap();
            assert_eq!((request.headers()[HOST].to_str().unwrap(), request.uri().path()), (host, "/status"));
        }
    }
}

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

/// The head or the body of a response is larger than permitted.
pub(super) struct TooLarge;

/// The body of the response; `None` if there is no response, or one with another status than 200. A redirect is not
/// followed. Sets `responds` when the head of the response is complete.
///
/// # Errors
/// When the head or the body has more than `most_bytes`.
pub(super) async fn get_status(
    address: SocketAddr,
    most_bytes: usize,
    responds: &mut bool,
) -> Result<Option<Bytes>, TooLarge> {
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
        Err(error) if error.is_parse_too_large() => return Err(TooLarge),
        Err(_) => return Ok(None),
    };
    *responds = true;
    if response.status() != StatusCode::OK {
        return Ok(None);
    }
    match Limited::new(response.into_body(), most_bytes).collect().await {
        Ok(body) => Ok(Some(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(TooLarge),
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

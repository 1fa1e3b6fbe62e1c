//! One HTTP/1.1 connection of the load generator.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

/// Longer than the server may take for anything.
const PATIENCE: Duration = Duration::from_secs(15);

/// A response.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A connection that is opened for the first request, and again after an error.
pub struct Connection {
    target: SocketAddr,
    /// The clients have different addresses, since the server limits what one network may do.
    local: IpAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// The connection with this number to a server on this machine.
    pub fn new(target: SocketAddr, number: usize) -> Self {
        let host = u8::try_from(2 + number % 250).unwrap_or(1);
        Self { target, local: Ipv4Addr::new(127, 0, 0, host).into(), sender: None }
    }

    /// Sends a request and reads the response.
    pub async fn exchange(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        // A connection that failed or whose response was not awaited cannot be used any more.
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.open().await?,
        };
        let answer = tokio::time::timeout(PATIENCE, async {
            sender.ready().await?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Answer { status: head.status, headers: head.headers, body })
        })
        .await
        .context("no response in time")??;
        self.sender = Some(sender);
        Ok(answer)
    }

    async fn open(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.local, 0).into())?;
        let stream = socket.connect(self.target).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends when the sender is dropped; an error is also reported to the sender.
        tokio::spawn(async { connection.await.ok() });
        Ok(sender)
    }
}

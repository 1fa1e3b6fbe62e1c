//! HTTP byte by byte, for requests that no client library would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take before the server counts as hanging.
const LIMIT: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Debug)]
pub struct Wire(TcpStream);

impl Wire {
    /// Connects to `127.0.0.1:port`-like authority.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn connect(authority: &str) -> Self {
        Self(TcpStream::connect(authority).await.expect("a connection"))
    }

    /// Sends bytes. An error is left to [`Wire::answer`]: a server may close in the middle of nonsense.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Everything that comes until the server closes the connection.
    ///
    /// # Panics
    /// When the server neither answers nor closes within ten seconds.
    pub async fn answer(mut self) -> String {
        let mut bytes = Vec::new();
        // A reset after the answer is as good as an orderly end.
        let _ = tokio::time::timeout(LIMIT, self.0.read_to_end(&mut bytes)).await.expect("an answer in time");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Sends a whole request, which should say `Connection: close`, and returns the answer with its head.
pub async fn exchange(authority: &str, request: &[u8]) -> String {
    let mut wire = Wire::connect(authority).await;
    wire.send(request).await;
    wire.answer().await
}

/// The status in an answer's first line; `None` when the connection was closed without a word.
pub fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

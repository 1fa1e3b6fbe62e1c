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

    /// Waits for `100 Continue`, which the server sends when it begins to wait for the body of a request that said
    /// `Expect: 100-continue`.
    ///
    /// # Panics
    /// When something else comes, or nothing within ten seconds.
    pub async fn continued(&mut self) {
        let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut bytes = vec![0; expected.len()];
        let read = tokio::time::timeout(LIMIT, self.0.read_exact(&mut bytes)).await;
        read.expect("an answer in time").expect("an answer");
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected));
    }

    /// Everything that comes until the server closes the connection.
    ///
    /// # Panics
    /// When the server neither answers nor closes within ten seconds.
    pub async fn answer(self) -> String {
        self.answer_within(LIMIT).await
    }

    /// The same, within another time.
    ///
    /// # Panics
    /// When the server neither answers nor closes within it.
    pub async fn answer_within(mut self, limit: Duration) -> String {
        let mut bytes = Vec::new();
        // A reset after the answer is as good as an orderly end.
        let _ = tokio::time::timeout(limit, self.0.read_to_end(&mut bytes)).await.expect("an answer in time");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends one byte after another, `pause` apart, until the server closes the connection, and returns all that came.
    ///
    /// # Panics
    /// When the server does not close it within `limit`.
    pub async fn trickle(self, byte: u8, pause: Duration, limit: Duration) -> String {
        let (mut reading, mut writing) = self.0.into_split();
        let mut bytes = Vec::new();
        let drip = async {
            let mut ticks = tokio::time::interval(pause);
            loop {
                ticks.tick().await;
                let _ = writing.write_all(&[byte]).await;
            }
        };
        tokio::select! {
            () = drip => {}
            read = tokio::time::timeout(limit, reading.read_to_end(&mut bytes)) => {
                let _ = read.expect("an answer in time");
            }
        }
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

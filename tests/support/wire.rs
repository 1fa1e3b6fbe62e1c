//! HTTP as bytes, for requests that no client library sends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The deadline of a response.
const LIMIT: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Debug)]
pub struct Wire(TcpStream);

impl Wire {
    /// Connects to an authority such as `127.0.0.1:8080`.
    ///
    /// # Panics
    /// When the connection is refused, or not accepted within ten seconds.
    pub async fn connect(authority: &str) -> Self {
        let connected = tokio::time::timeout(LIMIT, TcpStream::connect(authority)).await;
        Self(connected.expect("a connection in time").expect("a connection"))
    }

    /// Sends bytes. An error is not a failure, because a server may close the connection during an invalid request.
    ///
    /// # Panics
    /// When the server does not read them within ten seconds.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = tokio::time::timeout(LIMIT, self.0.write_all(bytes)).await.expect("the server reads in time");
    }

    /// Waits for `100 Continue`, which the server sends when it starts to read the body of a request with
    /// `Expect: 100-continue`.
    ///
    /// # Panics
    /// When the server sends something else, or nothing within ten seconds.
    pub async fn continued(&mut self) {
        let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut bytes = vec![0; expected.len()];
        let read = tokio::time::timeout(LIMIT, self.0.read_exact(&mut bytes)).await;
        read.expect("a response in time").expect("a response");
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(expected));
    }

    /// Everything that the server sends before it closes the connection.
    ///
    /// # Panics
    /// When it does not close the connection within ten seconds.
    pub async fn answer(self) -> String {
        self.answer_within(LIMIT).await
    }

    /// [`Wire::answer`] with another deadline.
    ///
    /// # Panics
    /// When the server does not close the connection within it.
    pub async fn answer_within(mut self, limit: Duration) -> String {
        let mut bytes = Vec::new();
        // A connection reset after the response is not a failure.
        let _ =
            tokio::time::timeout(limit, self.0.read_to_end(&mut bytes)).await.expect("a response in time");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends single bytes with this pause until the server closes the connection, and returns everything that it sent.
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
                let _ = read.expect("a response in time");
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Sends a complete request with `Connection: close`, and returns the complete response.
pub async fn exchange(authority: &str, request: &[u8]) -> String {
    let mut wire = Wire::connect(authority).await;
    wire.send(request).await;
    wire.answer().await
}

/// The status in the first line of a response; `None` if the connection was closed without one.
pub fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

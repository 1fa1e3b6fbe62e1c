//! The round trips between a server and its stores, read on the wire: a proxy forwards every byte and records what the server
//! sends.

use std::collections::HashMap;
use std::net::TcpListener as StdListener;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The codes of a `SSLRequest` and of a `GSSENCRequest` (PostgreSQL documentation §53.7). A message of the start follows them.
const NEGOTIATIONS: [u32; 2] = [80_877_103, 80_877_104];

/// A proxy to one store. Dropping it stops it.
#[derive(Debug)]
pub struct Recorder {
    port: u16,
    trips: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Forwards to PostgreSQL at `127.0.0.1:port`. A round trip is a statement of the simple protocol or the messages up to a
    /// `Sync`, and is recorded as its SQL text; `BEGIN` and `COMMIT` are recorded with the first statement of their
    /// transaction.
    pub fn postgres(port: u16) -> Self {
        Self::start(port, PostgresReader::default)
    }

    /// Forwards to Redis at `127.0.0.1:port`. A round trip is the commands that are written together, and is recorded as
    /// their text, in which `#` stands for what differs from one session, account or time to the next; equal ones in a row
    /// are recorded once.
    pub fn redis(port: u16) -> Self {
        Self::start(port, RedisReader::default)
    }

    fn start<R: Reader>(port: u16, reader: fn() -> R) -> Self {
        let listener = StdListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let own_port = listener.local_addr().expect("the address just bound").port();
        let listener = TcpListener::from_std(listener).expect("a tokio listener");
        let trips = Arc::new(Mutex::default());
        let recorded = Arc::clone(&trips);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, port, reader(), Arc::clone(&recorded)));
            }
        });
        Self { port: own_port, trips, task }
    }

    /// The port of this proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The round trips that were begun since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.trips.lock().expect("no panic while recording"))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, port: u16, mut reader: impl Reader, trips: Arc<Mutex<Vec<String>>>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    // The proxy adds no wait of its own.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            // Recorded first: whoever has the response finds the round trip.
            let begun = reader.read(&buffer[..count]);
            trips.lock().expect("no panic while recording").extend(begun);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// Reads the messages of one client.
trait Reader: Send + 'static {
    /// The round trips that are complete with these bytes.
    fn read(&mut self, bytes: &[u8]) -> Vec<String>;
}

/// Reads the frontend messages of PostgreSQL (documentation §53.7).
#[derive(Debug, Default)]
struct PostgresReader {
    pending: Vec<u8>,
    /// The messages of the start, which have no type, are over.
    is_started: bool,
    /// The SQL texts by the names of the prepared statements.
    statements: HashMap<String, String>,
    /// The statement that the next `Sync` belongs to.
    current: String,
    transaction: Transaction,
}

#[derive(Debug, Default)]
enum Transaction {
    #[default]
    None,
    /// `BEGIN` has been sent.
    Begun,
    /// This was its first statement.
    At(String),
}

impl Reader for PostgresReader {
    fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        let mut trips = Vec::new();
        loop {
            let head = usize::from(self.is_started);
            let Some(length) = number(&self.pending, head) else { return trips };
            let end = head + length as usize;
            if self.pending.len() < end {
                return trips;
            }
            let message: Vec<u8> = self.pending.drain(..end).collect();
            if self.is_started {
                trips.extend(self.read_message(message[0], &message[5..]));
            } else {
                self.is_started = number(&message, 4).is_some_and(|code| !NEGOTIATIONS.contains(&code));
            }
        }
    }
}

impl PostgresReader {
    fn read_message(&mut self, kind: u8, body: &[u8]) -> Vec<String> {
        let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        let mut text = || texts.next().unwrap_or_default();
        match kind {
            // Query
            b'Q' => return self.name_trip(one_line(&text())),
            // Parse
            b'P' => {
                let (name, sql) = (text(), one_line(&text()));
                self.current = format!("prepare {sql}");
                self.statements.insert(name, sql);
            }
            // Bind: the portal, then the statement
            b'B' => {
                let (_, name) = (text(), text());
                self.current = self.statements.get(&name).cloned().unwrap_or_default();
            }
            // Sync
            b'S' => {
                let sql = std::mem::take(&mut self.current);
                return self.name_trip(sql);
            }
            _ => {}
        }
        Vec::new()
    }

    /// Names this round trip, and before it the one of its `BEGIN`.
    fn name_trip(&mut self, sql: String) -> Vec<String> {
        let is_end = sql == "COMMIT" || sql == "ROLLBACK";
        match std::mem::take(&mut self.transaction) {
            Transaction::At(first) if is_end => vec![format!("{sql} after {first}")],
            Transaction::Begun if !is_end && !sql.starts_with("prepare ") => {
                self.transaction = Transaction::At(sql.clone());
                vec![format!("BEGIN before {sql}"), sql]
            }
            _ if sql.starts_with("BEGIN") => {
                self.transaction = Transaction::Begun;
                Vec::new()
            }
            unchanged => {
                self.transaction = unchanged;
                vec![sql]
            }
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads commands of Redis: arrays of bulk strings.
#[derive(Debug, Default)]
struct RedisReader {
    pending: Vec<u8>,
    /// The commands of a round trip whose last command is incomplete.
    commands: Vec<String>,
}

impl Reader for RedisReader {
    fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        while let Some((command, end)) = command(&self.pending) {
            self.pending.drain(..end);
            self.commands.push(command);
        }
        if self.commands.is_empty() || !self.pending.is_empty() {
            return Vec::new();
        }
        let mut commands = std::mem::take(&mut self.commands);
        commands.dedup();
        vec![commands.join("; ")]
    }
}

/// The first command, and where it ends.
fn command(bytes: &[u8]) -> Option<(String, usize)> {
    let (count, mut at) = line(bytes, 0)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let (length, begin) = line(bytes, at)?;
        parts.push(without_values(&String::from_utf8_lossy(bytes.get(begin..begin + length)?)));
        at = begin + length + 2;
    }
    (at <= bytes.len()).then_some((parts.join(" "), at))
}

/// Replaces every word that has a digit: numbers, UUIDs and hashes.
fn without_values(text: &str) -> String {
    let is_of_word = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let mut result = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|character| is_of_word(character) != is_of_word(first)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let is_value = is_of_word(first) && part.contains(|character: char| character.is_ascii_digit());
        result.push_str(if is_value { "#" } else { part });
        rest = after;
    }
    result
}

/// The number in the line that begins at `at`, after its type, and where the line ends.
fn line(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let length = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let text = std::str::from_utf8(rest.get(1..length)?).ok()?;
    Some((text.parse().ok()?, at + length + 2))
}

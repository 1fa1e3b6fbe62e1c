//! The connection to Redis that revocation and limits share. It is not re-made behind our back: a new connection
//! may lead to another Redis, so every one learns first whom it talks to.

mod identity;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, TlsCertificates};

pub use self::identity::MayForget;
use self::identity::{DataId, Unusable, describe, identify};
use crate::trusted_roots::TrustedRoots;

/// A Redis that has not answered by then is treated as down; PostgreSQL answers instead.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection to one Redis process.
pub struct Connection {
    id: u64,
    data_id: DataId,
    marker_prefix: String,
    /// When the question was asked whose answer was `data_id`.
    identified_at: Instant,
    stream: MultiplexedConnection,
}

impl Connection {
    /// Tells connections apart.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What a marker begins with that was set in the data which this connection showed when it was made.
    pub fn marker_prefix(&self) -> &str {
        &self.marker_prefix
    }

    /// When Redis was asked whose data it holds, for this connection to be made.
    pub fn identified_at(&self) -> Instant {
        self.identified_at
    }

    /// A handle to send commands by; all handles share the connection.
    pub fn stream(&self) -> MultiplexedConnection {
        self.stream.clone()
    }
}

/// How the connection is, in words for readiness and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Connected.
    Up,
    /// Not connected, or not to be used any more; it was before.
    Lost(String),
    /// Not connected yet since the start.
    NeverUp(String),
    /// Connected to a Redis that must not be used.
    Refused(String),
}

/// At most one connection at a time. Share it with an [`Arc`].
pub struct RedisConnection {
    client: Client,
    current: ArcSwapOption<Connection>,
    was_up: AtomicBool,
    next_id: AtomicU64,
    /// Why there is no connection, and whether that Redis was refused.
    fault: Mutex<(String, bool)>,
    /// See [`RedisConnection::key_prefix`].
    key_prefix: ArcSwapOption<String>,
}

impl RedisConnection {
    /// Takes the URL; connects when [`RedisConnection::ensure_connected`] is called.
    ///
    /// # Errors
    /// A sentence without the URL when it is none.
    pub fn new(url: &str, roots: &TrustedRoots) -> Result<Self, String> {
        let client =
            open(url, roots).map_err(|_| "REDIS_URL is not valid: it is not a Redis URL".to_owned())?;
        Ok(Self {
            client,
            current: ArcSwapOption::empty(),
            was_up: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
            fault: Mutex::new(("not connected yet".to_owned(), false)),
            key_prefix: ArcSwapOption::empty(),
        })
    }

    /// The connection, if there is one just now. Whether what stands behind it may be believed is another question.
    pub fn connection(&self) -> Option<Arc<Connection>> {
        self.current.load_full()
    }

    /// What every key of this service begins with; `None` until the database has said which service this is.
    pub fn key_prefix(&self) -> Option<Arc<String>> {
        self.key_prefix.load_full()
    }

    /// Takes what the keys of this service begin with.
    pub fn set_key_prefix(&self, prefix: &str) {
        if self.key_prefix.load().as_deref().map(String::as_str) != Some(prefix) {
            self.key_prefix.store(Some(Arc::new(prefix.to_owned())));
        }
    }

    /// How the connection is.
    pub fn state(&self) -> ConnectionState {
        if self.current.load().is_some() {
            return ConnectionState::Up;
        }
        let (reason, refused) = self.fault.lock().map(|fault| fault.clone()).unwrap_or_default();
        match (refused, self.was_up.load(Ordering::Relaxed)) {
            // One that was good when we started holds nothing up: PostgreSQL answers in its place.
            (_, true) => ConnectionState::Lost(reason),
            (true, false) => ConnectionState::Refused(reason),
            (false, false) => ConnectionState::NeverUp(reason),
        }
    }

    /// Connects if need be; a failure is remembered for [`RedisConnection::state`] and logged once.
    ///
    /// # Errors
    /// [`MayForget`] when that is why there is no connection.
    pub async fn ensure_connected(&self) -> Result<(), MayForget> {
        if self.current.load().is_some() {
            return Ok(());
        }
        match self.connect().await {
            Ok(connection) => {
                tracing::info!(data_id = %connection.data_id, "connected to Redis");
                self.was_up.store(true, Ordering::Relaxed);
                self.current.store(Some(Arc::new(connection)));
                Ok(())
            }
            Err(unusable) => {
                let (reason, refused, fault) = unusable.into_parts();
                self.remember(reason, refused);
                fault.map_or(Ok(()), Err)
            }
        }
    }

    /// Drops the connection after an error that says it is of no use any more.
    pub fn report_failure(&self, connection: &Connection, error: &RedisError) {
        self.drop_connection(connection, describe(error), false);
    }

    /// Asks the Redis behind `connection` whether it is still the one that it was: the same process with the same data, the
    /// primary, one that evicts nothing, its clock not far from this replica's. Gives the time of the question when it is;
    /// otherwise the connection has been dropped, and the answer is `None`.
    ///
    /// # Errors
    /// [`MayForget`] when that is why the connection was dropped.
    pub async fn verify(&self, connection: &Connection) -> Result<Option<Instant>, MayForget> {
        let asked_at = Instant::now();
        let (reason, refused, fault) = match identify(&mut connection.stream()).await {
            Ok(data_id) if data_id == connection.data_id => return Ok(Some(asked_at)),
            Ok(_) => ("Redis has lost or replaced data since this replica connected".to_owned(), false, None),
            Err(unusable) => unusable.into_parts(),
        };
        self.drop_connection(connection, reason, refused);
        fault.map_or(Ok(None), Err)
    }

    /// Compared by id, so that what is learnt late of an old connection does not drop the one that followed.
    fn drop_connection(&self, connection: &Connection, reason: String, refused: bool) {
        if self.current.load().as_ref().is_some_and(|current| current.id == connection.id) {
            self.current.store(None);
            self.remember(reason, refused);
        }
    }

    fn remember(&self, reason: String, refused: bool) {
        if let Ok(mut fault) = self.fault.lock() {
            if fault.0 != reason {
                tracing::warn!(reason, "Redis is not used; PostgreSQL answers instead");
            }
            *fault = (reason, refused);
        }
    }

    async fn connect(&self) -> Result<Connection, Unusable> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let mut stream = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let identified_at = Instant::now();
        let data_id = identify(&mut stream).await?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let marker_prefix = format!("{data_id}/");
        Ok(Connection { id, data_id, marker_prefix, identified_at, stream })
    }
}

/// What this client is given takes the place of what the system trusts.
fn open(url: &str, roots: &TrustedRoots) -> Result<Client, RedisError> {
    if !url.starts_with("rediss://") {
        return Client::open(url);
    }
    match roots.pem_with_system() {
        Some(pem) => {
            let root_cert = Some(pem.into_bytes());
            Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert })
        }
        None => Client::open(url),
    }
}

//! The Redis connection that revocation and rate limits share. It never reconnects silently: a new connection may lead to
//! another Redis, so its identity is checked first.

mod identity;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisError, TlsCertificates};

pub use self::identity::MayForget;
use self::identity::{DataId, Unusable, describe, identify};
use crate::trusted_roots::TrustedRoots;

/// A Redis that does not answer in this time is treated as down; PostgreSQL answers instead.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the kernel keeps a connection whose packets nobody acknowledges (`TCP_USER_TIMEOUT`).
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to one Redis process.
pub struct Connection {
    id: u64,
    data_id: DataId,
    marker_prefix: String,
    /// When the `INFO` that gave `data_id` was sent.
    identified_at: Instant,
    stream: MultiplexedConnection,
}

impl Connection {
    /// The id of this connection.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The prefix of markers that were set in the data which Redis held when this connection was made.
    pub fn marker_prefix(&self) -> &str {
        &self.marker_prefix
    }

    /// When the identity of Redis was requested for this connection.
    pub fn identified_at(&self) -> Instant {
        self.identified_at
    }

    /// A handle for commands; all handles share the connection.
    pub fn stream(&self) -> MultiplexedConnection {
        self.stream.clone()
    }
}

/// The state of the connection, for readiness and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    Up,
    /// Not connected, but connected before.
    Lost(String),
    /// Not connected since the start.
    NeverUp(String),
    /// Redis answers, but must not be used.
    Refused(String),
}

/// At most one connection at a time. Share it with an [`Arc`].
pub struct RedisConnection {
    client: Client,
    current: ArcSwapOption<Connection>,
    was_up: AtomicBool,
    next_id: AtomicU64,
    /// Why there is no connection, and whether Redis was refused.
    fault: Mutex<(String, bool)>,
    /// See [`RedisConnection::key_prefix`].
    key_prefix: ArcSwapOption<String>,
}

impl RedisConnection {
    /// Parses the URL; [`RedisConnection::ensure_connected`] connects.
    ///
    /// # Errors
    /// A sentence without the URL when it is invalid.
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

    /// The current connection, if any. Revocation decides separately whether to trust the Redis behind it.
    pub fn connection(&self) -> Option<Arc<Connection>> {
        self.current.load_full()
    }

    /// The prefix of every key of this service; `None` until the database has identified the service.
    pub fn key_prefix(&self) -> Option<Arc<String>> {
        self.key_prefix.load_full()
    }

    /// Sets the prefix of every key of this service.
    pub fn set_key_prefix(&self, prefix: &str) {
        if self.key_prefix.load().as_deref().map(String::as_str) != Some(prefix) {
            self.key_prefix.store(Some(Arc::new(prefix.to_owned())));
        }
    }

    pub fn state(&self) -> ConnectionState {
        if self.current.load().is_some() {
            return ConnectionState::Up;
        }
        let (reason, refused) = self.fault.lock().map(|fault| fault.clone()).unwrap_or_default();
        match (refused, self.was_up.load(Ordering::Relaxed)) {
            // A Redis that worked since the start does not affect readiness: PostgreSQL answers instead.
            (_, true) => ConnectionState::Lost(reason),
            (true, false) => ConnectionState::Refused(reason),
            (false, false) => ConnectionState::NeverUp(reason),
        }
    }

    /// Connects if there is no connection. [`RedisConnection::state`] reports a failure, and it is logged once.
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

    /// Drops the connection after an error that makes it unusable.
    pub fn report_failure(&self, connection: &Connection, error: &RedisError) {
        self.drop_connection(connection, describe(error), false);
    }

    /// Checks that Redis is still the same: the same process with the same data, a primary, evicting nothing, with a clock
    /// close to this replica's. Returns the time of the check on success; otherwise drops the connection and returns
    /// `None`.
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

    /// Compares ids, so that a late error of an old connection does not drop its successor.
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

/// Custom certificate authorities are added to those of the system.
fn open(url: &str, roots: &TrustedRoots) -> Result<Client, RedisError> {
    let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(TCP_USER_TIMEOUT);
    let info = url.into_connection_info()?.set_tcp_settings(tcp);
    if !url.starts_with("rediss://") {
        return Client::open(info);
    }
    match roots.pem_with_system() {
        Some(pem) => {
            let root_cert = Some(pem.into_bytes());
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
        }
        None => Client::open(info),
    }
}

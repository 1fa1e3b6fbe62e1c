//! The connection to Redis that revocation and limits share. It is not re-made behind our back: a new connection
//! may lead to another Redis, so every one learns first whom it talks to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, TlsCertificates};

use crate::trusted_roots::{TrustedRoots, describe_refusal};

/// A Redis that has not answered by then is treated as down; PostgreSQL answers instead.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection to one Redis process.
pub struct Connection {
    id: u64,
    run_id: String,
    stream: MultiplexedConnection,
}

impl Connection {
    /// The process's own id; a restarted Redis has another.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// A handle to send commands by; all handles share the connection.
    pub fn stream(&self) -> MultiplexedConnection {
        self.stream.clone()
    }
}

/// How the connection is, in words for readiness and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
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
pub struct RedisLink {
    client: Client,
    current: ArcSwapOption<Connection>,
    was_up: AtomicBool,
    next_id: AtomicU64,
    /// Why there is no connection, and whether that Redis was refused.
    fault: Mutex<(String, bool)>,
}

impl RedisLink {
    /// Takes the URL; connects when [`RedisLink::ensure_connected`] is called.
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
        })
    }

    /// The connection, if there is one just now. Whether what stands behind it may be believed is another question.
    pub fn connection(&self) -> Option<Arc<Connection>> {
        self.current.load_full()
    }

    /// How the connection is.
    pub fn state(&self) -> LinkState {
        if self.current.load().is_some() {
            return LinkState::Up;
        }
        let (reason, refused) = self.fault.lock().map(|fault| fault.clone()).unwrap_or_default();
        match (refused, self.was_up.load(Ordering::Relaxed)) {
            // One that was good when we started holds nothing up: PostgreSQL answers in its place.
            (_, true) => LinkState::Lost(reason),
            (true, false) => LinkState::Refused(reason),
            (false, false) => LinkState::NeverUp(reason),
        }
    }

    /// Connects if need be; a failure is remembered for [`RedisLink::state`] and logged once.
    pub async fn ensure_connected(&self) {
        if self.current.load().is_some() {
            return;
        }
        match self.connect().await {
            Ok(connection) => {
                tracing::info!(run_id = connection.run_id, "connected to Redis");
                self.was_up.store(true, Ordering::Relaxed);
                self.current.store(Some(Arc::new(connection)));
            }
            Err((reason, refused)) => self.remember(reason, refused),
        }
    }

    /// Drops the connection after an error that says it is of no use any more.
    pub fn report_failure(&self, connection: &Connection, error: &RedisError) {
        // Compared by id, so that a late error of an old connection does not drop the one that followed.
        if self.current.load().as_ref().is_some_and(|current| current.id == connection.id) {
            self.current.store(None);
            self.remember(describe(error), false);
        }
    }

    /// Why this Redis may forget revocations; `None` when it may not, or does not say.
    pub async fn find_eviction(&self, connection: &Connection) -> Option<String> {
        let info: String =
            redis::cmd("INFO").arg("memory").query_async(&mut connection.stream()).await.ok()?;
        let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"))?.trim();
        (policy != "noeviction").then(|| evicts(policy))
    }

    /// Drops the connection to a Redis that must not be used any more.
    pub fn refuse(&self, connection: &Connection, reason: String) {
        if self.current.load().as_ref().is_some_and(|current| current.id == connection.id) {
            self.current.store(None);
            self.remember(reason, true);
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

    async fn connect(&self) -> Result<Connection, (String, bool)> {
        let down = |error: RedisError| (describe(&error), false);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let mut stream =
            self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(down)?;
        let info: String = redis::cmd("INFO").query_async(&mut stream).await.map_err(down)?;
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let run_id = field("run_id").unwrap_or_default().to_owned();
        if run_id.is_empty() {
            return Err((
                "Redis does not tell its run_id (INFO server), without which a restart cannot be seen"
                    .to_owned(),
                true,
            ));
        }
        match field("maxmemory_policy") {
            Some("noeviction") | None => {}
            Some(policy) => {
                return Err((evicts(policy), true));
            }
        }
        if field("role") == Some("slave") {
            return Err((
                "Redis is a read-only replica; REDIS_URL must lead to the primary".to_owned(),
                false,
            ));
        }
        Ok(Connection { id: self.next_id.fetch_add(1, Ordering::Relaxed), run_id, stream })
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

fn evicts(policy: &str) -> String {
    format!("Redis may evict revocations (maxmemory-policy is {policy}); set it to noeviction")
}

/// The error without addresses or credentials.
fn describe(error: &RedisError) -> String {
    if let Some(reason) = describe_refusal(error) {
        format!("Redis cannot be talked to: {reason}")
    } else if error.is_timeout() {
        "Redis does not answer in time".to_owned()
    } else if error.is_connection_refusal() {
        "Redis refuses the connection".to_owned()
    } else if error.kind() == redis::ErrorKind::AuthenticationFailed {
        "Redis refuses the user or the password".to_owned()
    } else if error.is_io_error() || error.is_connection_dropped() {
        "the connection to Redis was lost or could not be made".to_owned()
    } else {
        format!("Redis answered with an error ({})", error.code().unwrap_or("unknown"))
    }
}

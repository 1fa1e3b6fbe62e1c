//! The Redis connection that revocation and rate limits share. It never reconnects silently: a new connection may lead to
//! another Redis, so its identity is checked first.

mod commands;
mod identity;
mod sentinel;
mod target;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use latchkey_config::ClientCertificate;
use latchkey_protocol::lease::Link;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, RedisError};

use self::commands::{known_nodes, try_all_commands, try_write};
pub use self::identity::MayForget;
use self::identity::{DataId, Fault, Identity, Unusable, identify};
use self::target::{Target, TlsFiles, connection_config, redirected};
use crate::trusted_roots::TrustedRoots;

/// The least time between two attempts to connect, so that a Redis that accepts connections and refuses commands is not
/// flooded.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// The most nodes of a Redis Cluster that may refer to each other.
const MAX_REDIRECTS: usize = 4;

/// A connection to one Redis process.
pub struct Connection {
    link: Link,
    data_id: DataId,
    /// Whether all commands were tried: not before the database has identified the service.
    tried: AtomicBool,
    stream: MultiplexedConnection,
}

impl Connection {
    /// What decides whether to trust the Redis behind this connection. Epochs begin with the identity of the data.
    pub fn link(&self) -> &Link {
        &self.link
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
    /// Redis answers and refuses commands that the server needs: PostgreSQL answers instead.
    Limited(String),
    /// Redis answers, but must not be used.
    Refused(String),
}

/// At most one connection at a time. Share it with an [`Arc`].
pub struct RedisConnection {
    target: Target,
    tls: TlsFiles,
    /// The nodes of the Redis Cluster, for when the one in the URL is down.
    nodes: Mutex<Vec<String>>,
    last_attempt: Mutex<Option<Instant>>,
    current: ArcSwapOption<Connection>,
    was_up: AtomicBool,
    next_id: AtomicU64,
    /// Why there is no connection.
    fault: Mutex<(String, Fault)>,
    /// See [`RedisConnection::key_prefix`].
    key_prefix: ArcSwapOption<String>,
}

impl RedisConnection {
    /// Parses the URL; [`RedisConnection::ensure_connected`] connects.
    ///
    /// # Errors
    /// A sentence without the URL when it is invalid.
    pub fn new(
        url: &str,
        roots: &TrustedRoots,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Self, String> {
        let target = Target::parse(url).map_err(|reason| format!("REDIS_URL is not valid: {reason}"))?;
        if certificate.is_some() && !target.uses_tls() {
            return Err(
                "REDIS_CLIENT_CERT_FILE is set, but REDIS_URL does not use TLS (rediss://)".to_owned()
            );
        }
        let tls = TlsFiles::new(roots, certificate);
        target.validate(&tls)?;
        Ok(Self {
            target,
            tls,
            nodes: Mutex::default(),
            last_attempt: Mutex::default(),
            current: ArcSwapOption::empty(),
            was_up: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
            fault: Mutex::new(("not connected yet".to_owned(), Fault::Down)),
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
        let Ok((reason, fault)) = self.fault.lock().map(|fault| fault.clone()) else {
            return ConnectionState::NeverUp("its state is not known".to_owned());
        };
        match (fault, self.was_up.load(Ordering::Relaxed)) {
            // A Redis that worked since the start does not affect readiness: PostgreSQL answers instead.
            (_, true) => ConnectionState::Lost(reason),
            (Fault::Limited, false) => ConnectionState::Limited(reason),
            (Fault::Refused, false) => ConnectionState::Refused(reason),
            (Fault::Down, false) => ConnectionState::NeverUp(reason),
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
        self.wait_for_next_attempt().await;
        match self.connect().await {
            Ok(connection) => {
                tracing::info!(data_id = %connection.data_id, "connected to Redis");
                self.was_up.store(true, Ordering::Relaxed);
                self.current.store(Some(Arc::new(connection)));
                Ok(())
            }
            Err(unusable) => {
                let (reason, fault, forgotten) = unusable.into_parts();
                self.remember(reason, fault);
                forgotten.map_or(Ok(()), Err)
            }
        }
    }

    async fn wait_for_next_attempt(&self) {
        let last = self.last_attempt.lock().ok().and_then(|last| *last);
        if let Some(last) = last {
            tokio::time::sleep_until((last + RETRY_INTERVAL).into()).await;
        }
        if let Ok(mut last) = self.last_attempt.lock() {
            *last = Some(Instant::now());
        }
    }

    /// Drops the connection after an error that makes it unusable.
    pub fn report_failure(&self, connection: &Connection, error: &RedisError) {
        let (reason, fault, _) = Unusable::from(error).into_parts();
        self.drop_connection(connection, reason, fault);
    }

    /// Checks that Redis is still the same: the same process with the same data, a primary, evicting nothing, accepting
    /// writes, with a clock close to this replica's. Returns the time of the check on success; otherwise drops the connection and returns
    /// `None`.
    ///
    /// # Errors
    /// [`MayForget`] when that is why the connection was dropped.
    pub async fn verify(&self, connection: &Connection) -> Result<Option<Instant>, MayForget> {
        let asked_at = Instant::now();
        let (reason, fault, forgotten) = match self.identify_again(connection).await {
            Ok(data_id) if data_id == connection.data_id => return Ok(Some(asked_at)),
            Ok(_) => {
                ("Redis has lost or replaced data since this replica connected".to_owned(), Fault::Down, None)
            }
            Err(unusable) => unusable.into_parts(),
        };
        self.drop_connection(connection, reason, fault);
        forgotten.map_or(Ok(None), Err)
    }

    async fn identify_again(&self, connection: &Connection) -> Result<DataId, Unusable> {
        let mut stream = connection.stream();
        let identity = identify(&mut stream).await?;
        match self.key_prefix() {
            Some(prefix) if connection.tried.load(Ordering::Relaxed) => {
                try_write(&mut stream, &prefix).await?;
            }
            Some(prefix) => {
                try_all_commands(&mut stream, &prefix).await?;
                connection.tried.store(true, Ordering::Relaxed);
            }
            None => {}
        }
        Ok(identity.data_id)
    }

    /// Compares ids, so that a late error of an old connection does not drop its successor.
    fn drop_connection(&self, connection: &Connection, reason: String, fault: Fault) {
        if self.current.load().as_ref().is_some_and(|current| current.link.id == connection.link.id) {
            self.current.store(None);
            self.remember(reason, fault);
        }
    }

    fn remember(&self, reason: String, kind: Fault) {
        if let Ok(mut fault) = self.fault.lock() {
            if fault.0 != reason {
                tracing::warn!(reason, "Redis is not used; PostgreSQL answers instead");
            }
            *fault = (reason, kind);
        }
    }

    async fn connect(&self) -> Result<Connection, Unusable> {
        match &self.target {
            Target::Server(info) => match self.follow(info.clone()).await {
                Err(Unusable::Down(reason)) => self.connect_to_known_node(info, reason).await,
                result => result,
            },
            Target::Sentinel(url) => {
                let mut reason = Unusable::Down("no Sentinel of REDIS_URL answers".to_owned());
                for node in &url.sentinels {
                    let primary = match sentinel::find_primary(url, node, &self.tls).await {
                        Ok(primary) => primary,
                        Err(failure) => {
                            reason = Unusable::Down(failure);
                            continue;
                        }
                    };
                    // A Sentinel that is cut off from the others may still name the old primary.
                    match self.follow(primary).await {
                        Err(unusable @ Unusable::Down(_)) => reason = unusable,
                        result => return result,
                    }
                }
                Err(reason)
            }
        }
    }

    /// Tries the other nodes of a Redis Cluster; `reason` is why the one in the URL cannot be used.
    async fn connect_to_known_node(
        &self,
        info: &ConnectionInfo,
        mut reason: String,
    ) -> Result<Connection, Unusable> {
        let nodes = self.nodes.lock().map(|nodes| nodes.clone()).unwrap_or_default();
        for node in nodes {
            let Some(info) = redirected(info.clone(), &node) else { continue };
            match self.follow(info).await {
                Err(Unusable::Down(other)) => reason = other,
                result => return result,
            }
        }
        Err(Unusable::Down(reason))
    }

    /// Connects, and follows a Redis Cluster to the node that owns the slot of this service's keys.
    async fn follow(&self, mut info: ConnectionInfo) -> Result<Connection, Unusable> {
        for _ in 0..MAX_REDIRECTS {
            match self.connect_to(&info).await {
                Err(Unusable::Elsewhere(node)) => {
                    info = redirected(info, &node).ok_or_else(|| {
                        Unusable::Down("the Redis Cluster names a node without an address".to_owned())
                    })?;
                }
                result => return result,
            }
        }
        Err(Unusable::Down("the nodes of the Redis Cluster refer to each other".to_owned()))
    }

    async fn connect_to(&self, info: &ConnectionInfo) -> Result<Connection, Unusable> {
        let client = self.tls.client(info.clone()).map_err(Unusable::Down)?;
        let config = connection_config();
        let mut stream = client.get_multiplexed_async_connection_with_config(&config).await?;
        let identified_at = Instant::now();
        let Identity { data_id, is_cluster } = identify(&mut stream).await?;
        let prefix = self.key_prefix();
        match &prefix {
            Some(prefix) => try_all_commands(&mut stream, prefix).await?,
            // The keys decide which node is the right one.
            None if is_cluster => {
                let reason = "the database has to answer before the right node of the Redis Cluster is known";
                return Err(Unusable::Down(reason.to_owned()));
            }
            None => {}
        }
        if is_cluster {
            let found = known_nodes(&mut stream).await;
            if let Ok(mut nodes) = self.nodes.lock() {
                *nodes = found;
            }
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let link = Link { id, epoch_prefix: format!("{data_id}/"), identified_at };
        Ok(Connection { link, data_id, tried: AtomicBool::new(prefix.is_some()), stream })
    }
}

//! Where Redis is: one server, a node of a Redis Cluster, or a primary that Sentinels know; and the TLS of connections.

use std::time::Duration;

use latchkey_config::{ClientCertificate, RedisLogin, SentinelUrl};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    RedisConnectionInfo, TlsCertificates,
};

use crate::trusted_roots::TrustedRoots;

/// A Redis that does not answer in this time is treated as down; PostgreSQL answers instead.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the kernel keeps a connection whose packets nobody acknowledges (`TCP_USER_TIMEOUT`).
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

/// What `REDIS_URL` names.
pub(super) enum Target {
    /// A server, or a node of a Redis Cluster.
    Server(ConnectionInfo),
    /// The primary that the Sentinels name.
    Sentinel(SentinelUrl),
}

impl Target {
    /// # Errors
    /// A clause without the URL.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        match SentinelUrl::parse(url) {
            Some(sentinel) => sentinel.map(Self::Sentinel),
            None => url.into_connection_info().map(Self::Server).map_err(|_| "it is not a Redis URL"),
        }
    }

    pub(super) fn uses_tls(&self) -> bool {
        match self {
            Self::Server(info) => matches!(info.addr(), ConnectionAddr::TcpTls { .. }),
            Self::Sentinel(url) => url.tls,
        }
    }

    /// Reads the certificates once, so that a fault is found at the start.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(super) fn validate(&self, tls: &TlsFiles) -> Result<(), String> {
        let info = match self {
            Self::Server(info) => Ok(info.clone()),
            Self::Sentinel(url) => address(url.tls, "localhost", 6379).into_connection_info(),
        };
        tls.client(info.map_err(|_| "REDIS_URL is not valid: it is not a Redis URL".to_owned())?).map(drop)
    }
}

/// The certificate authorities and the client certificate. The latter is read for each connection, because it is renewed.
pub(super) struct TlsFiles {
    /// Custom certificate authorities and those of the system; `None` for the latter alone.
    roots: Option<Vec<u8>>,
    certificate: Option<ClientCertificate>,
}

impl TlsFiles {
    pub(super) fn new(roots: &TrustedRoots, certificate: Option<&ClientCertificate>) -> Self {
        Self { roots: roots.pem_with_system().map(String::into_bytes), certificate: certificate.cloned() }
    }

    /// # Errors
    /// A sentence that names the setting.
    pub(super) fn client(&self, info: ConnectionInfo) -> Result<Client, String> {
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(TCP_USER_TIMEOUT);
        let info = info.set_tcp_settings(tcp);
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let has_own = self.roots.is_some() || self.certificate.is_some();
        let client = if tls && has_own {
            let certificates =
                TlsCertificates { client_tls: self.client_certificate()?, root_cert: self.roots.clone() };
            Client::build_with_tls(info, certificates)
        } else {
            Client::open(info)
        };
        client.map_err(|_| match self.certificate {
            Some(_) => "REDIS_CLIENT_CERT_FILE and REDIS_CLIENT_KEY_FILE are not valid: they are not a certificate and its key in PEM form".to_owned(),
            None => "REDIS_URL is not valid: it is not a Redis URL".to_owned(),
        })
    }

    fn client_certificate(&self) -> Result<Option<ClientTlsConfig>, String> {
        let Some(ClientCertificate { certificate, key }) = &self.certificate else { return Ok(None) };
        let read = |name, path: &std::path::Path| {
            std::fs::read(path).map_err(|error| format!("{name} {} cannot be read: {error}", path.display()))
        };
        Ok(Some(ClientTlsConfig {
            client_cert: read("REDIS_CLIENT_CERT_FILE", certificate)?,
            client_key: read("REDIS_CLIENT_KEY_FILE", key)?,
        }))
    }
}

/// The timeouts of every connection.
pub(super) fn connection_config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
}

/// The address of a server.
pub(super) fn address(tls: bool, host: &str, port: u16) -> ConnectionAddr {
    let host = host.to_owned();
    if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

/// The credentials and the database of a connection.
pub(super) fn settings(login: &RedisLogin, database: i64) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default().set_db(database);
    if let Some(username) = &login.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &login.password {
        settings = settings.set_password(password.expose());
    }
    settings
}

/// The same connection to another node of the Redis Cluster, `HOST:PORT`. A node that does not know its own host names
/// none, or `?`: then it is the host that was connected to.
pub(super) fn redirected(info: ConnectionInfo, node: &str) -> Option<ConnectionInfo> {
    let (host, port) = node.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let (tls, own_host) = match info.addr() {
        ConnectionAddr::Tcp(own, _) => (false, own.clone()),
        ConnectionAddr::TcpTls { host: own, .. } => (true, own.clone()),
        _ => return None,
    };
    let host = if matches!(host, "" | "?") { &own_host } else { host };
    let address = address(tls, host, port);
    Some(info.set_addr(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_keeps_everything_but_the_address() {
        let info = "rediss://user:p@one.example:6380".into_connection_info().unwrap();
        let told = |node: &str| redirected(info.clone(), node).map(|info| info.addr().to_string());
        assert_eq!(told("two.example:6381").as_deref(), Some("two.example:6381"));
        assert_eq!(told("10.0.0.1:7000").as_deref(), Some("10.0.0.1:7000"));
        assert_eq!(told(":6382").as_deref(), Some("one.example:6382"));
        assert_eq!(told("?:6382").as_deref(), Some("one.example:6382"));
        assert_eq!(told("two.example"), None);
        let other = redirected(info, "two.example:6381").unwrap();
        assert_eq!(other.redis_settings().username(), Some("user"));
        assert!(matches!(other.addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
    }
}

//! Asking a Sentinel for the address of the primary.

use latchkey_config::{RedisLogin, SentinelUrl};
use redis::{ConnectionInfo, IntoConnectionInfo as _, RedisError};

use super::identity::describe;
use super::target::{TlsFiles, address, connection_config, settings};

/// How to connect to the primary.
///
/// # Errors
/// A sentence without addresses and credentials.
pub(super) async fn find_primary(
    url: &SentinelUrl,
    sentinel: &(String, u16),
    tls: &TlsFiles,
) -> Result<ConnectionInfo, String> {
    let asked = match ask(url, sentinel, &url.sentinel_login, tls).await {
        // Many installations have one password for both.
        Err(Failure::Redis(error)) if needs_login(&error) && url.sentinel_login.password.is_none() => {
            ask(url, sentinel, &url.login, tls).await
        }
        asked => asked,
    };
    let (host, port) = asked
        .map_err(|failure| match failure {
            Failure::Redis(error) => {
                format!("a Sentinel cannot be asked for the primary: {}", describe(&error))
            }
            Failure::Setup(reason) => reason,
        })?
        .ok_or_else(|| "the Sentinels know no primary of the name in REDIS_URL".to_owned())?;
    info(url.tls, (&host, port), settings(&url.login, url.database)).map_err(|error| describe(&error))
}

enum Failure {
    Redis(RedisError),
    Setup(String),
}

async fn ask(
    url: &SentinelUrl,
    (host, port): &(String, u16),
    login: &RedisLogin,
    tls: &TlsFiles,
) -> Result<Option<(String, u16)>, Failure> {
    let info = info(url.tls, (host, *port), settings(login, 0)).map_err(Failure::Redis)?;
    let client = tls.client(info).map_err(Failure::Setup)?;
    let config = connection_config();
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let mut stream = connecting.await.map_err(Failure::Redis)?;
    redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(&url.name)
        .query_async(&mut stream)
        .await
        .map_err(Failure::Redis)
}

fn needs_login(error: &RedisError) -> bool {
    error.code() == Some("NOAUTH")
}

fn info(
    tls: bool,
    (host, port): (&str, u16),
    settings: redis::RedisConnectionInfo,
) -> Result<ConnectionInfo, RedisError> {
    Ok(address(tls, host, port).into_connection_info()?.set_redis_settings(settings))
}

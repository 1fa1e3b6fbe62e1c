//! The ports of the server's dependencies, for the NetworkPolicies. Pure.

use latchkey_config::{POSTGRES_PORT, PostgresUrl, SecretText, SentinelUrl, Settings};
use url::Url;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ports {
    pub database: Vec<u16>,
    pub redis: Vec<u16>,
    pub smtp: Option<u16>,
    pub traces: Option<u16>,
}

const REDIS: u16 = 6379;

pub(super) fn ports(database: &SecretText, redis: &SecretText, settings: &Settings) -> Ports {
    Ports {
        database: database_ports(database.expose()),
        redis: redis_ports(redis.expose()),
        smtp: settings.email.as_ref().map(|email| email.smtp.port),
        traces: settings.otlp_endpoint.as_deref().map(|endpoint| port(endpoint, 4317)),
    }
}

fn port(text: &str, default: u16) -> u16 {
    Url::parse(text).ok().and_then(|url| url.port_or_known_default()).unwrap_or(default)
}

fn database_ports(url: &str) -> Vec<u16> {
    let hosts = PostgresUrl::parse(url).map(|url| url.hosts).unwrap_or_default();
    let mut ports: Vec<_> = hosts.into_iter().map(|host| host.port).collect();
    if ports.is_empty() {
        ports.push(POSTGRES_PORT);
    }
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The ports of the Sentinels and the default port of Redis: only the Sentinels know which port the primary has.
fn redis_ports(url: &str) -> Vec<u16> {
    let Some(Ok(sentinel)) = SentinelUrl::parse(url) else { return vec![port(url, REDIS)] };
    let mut ports: Vec<_> = sentinel.sentinels.into_iter().map(|(_, port)| port).chain([REDIS]).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_of_a_database_may_have_its_own_port() {
        assert_eq!(database_ports("postgres://u:p@db/auth"), [5432]);
        assert_eq!(database_ports("postgres://u:p@a:6432,b:5433,c:6432/auth"), [5433, 6432]);
        assert_eq!(database_ports("postgres:///auth?host=a,b&port=6432"), [6432]);
    }

    #[test]
    fn sentinels_need_their_own_ports_and_that_of_redis() {
        assert_eq!(redis_ports("rediss://:p@cache:6380"), [6380]);
        assert_eq!(redis_ports("redis://cache"), [6379]);
        assert_eq!(redis_ports("redis+sentinel://:p@a:26379,b,c:26380/name"), [6379, 26379, 26380]);
    }
}

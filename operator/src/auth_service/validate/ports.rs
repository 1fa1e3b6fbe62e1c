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

/// `redis_ports`: the ports of Redis that the URL does not name.
pub(super) fn ports(
    database: &SecretText,
    redis: &SecretText,
    settings: &Settings,
    redis_ports: &[i32],
) -> Ports {
    let named = redis_ports.iter().filter_map(|port| u16::try_from(*port).ok());
    Ports {
        database: sorted(database_ports(database.expose())),
        redis: sorted(ports_of_redis(redis.expose()).into_iter().chain(named).collect()),
        smtp: settings.email.as_ref().map(|email| email.smtp.port),
        traces: settings.otlp_endpoint.as_deref().map(|endpoint| port(endpoint, 4317)),
    }
}

fn port(text: &str, default: u16) -> u16 {
    Url::parse(text).ok().and_then(|url| url.port_or_known_default()).unwrap_or(default)
}

fn sorted(mut ports: Vec<u16>) -> Vec<u16> {
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The ports of all hosts of a URL.
fn database_ports(url: &str) -> Vec<u16> {
    let hosts = PostgresUrl::parse(url).map(|url| url.hosts).unwrap_or_default();
    let ports: Vec<_> = hosts.into_iter().map(|host| host.port).collect();
    if ports.is_empty() { vec![POSTGRES_PORT] } else { ports }
}

/// The port of the URL, or the ports of the Sentinels and the default port of Redis: only the Sentinels know which port
/// the primary has.
fn ports_of_redis(url: &str) -> Vec<u16> {
    let Some(Ok(sentinel)) = SentinelUrl::parse(url) else { return vec![port(url, REDIS)] };
    sentinel.sentinels.into_iter().map(|(_, port)| port).chain([REDIS]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_need_their_own_ports_and_that_of_redis() {
        let redis = |url: &str| sorted(ports_of_redis(url));
        assert_eq!(redis("rediss://:p@cache:6380"), [6380]);
        assert_eq!(redis("redis://cache"), [6379]);
        assert_eq!(redis("redis+sentinel://:p@a:26379,b,c:26380/name"), [6379, 26379, 26380]);
    }

    #[test]
    fn every_host_and_parameter_of_a_database_url_has_a_port() {
        for (url, expected) in [
            ("postgres://u:p@db/auth", vec![5432]),
            ("postgres://u:p@db:6432/auth", vec![6432]),
            ("postgres://db", vec![5432]),
            (
                "postgres://u:p@a:5433,b,c:5434,d:5434/auth?target_session_attrs=read-write",
                vec![5432, 5433, 5434],
            ),
            ("postgres://u:p@[::1]/auth", vec![5432]),
            ("postgres://u:p@[::1]:5433/auth", vec![5433]),
            ("postgresql:///auth?host=db&port=6432", vec![6432]),
            ("postgresql://db/auth?host=a,b&port=6432,6433", vec![6432, 6433]),
        ] {
            assert_eq!(sorted(database_ports(url)), expected, "{url}");
        }
    }
}

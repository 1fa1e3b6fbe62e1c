//! The ports of the server's dependencies, for the NetworkPolicies. Pure.

use latchkey_config::{SecretText, SentinelUrl, Settings};
use url::{Url, form_urlencoded};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ports {
    pub database: Vec<u16>,
    pub redis: Vec<u16>,
    pub smtp: Option<u16>,
    pub traces: Option<u16>,
}

const POSTGRES: u16 = 5432;
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

/// The ports of all hosts of a URL, which may list several, and of its parameter `port`.
fn database_ports(url: &str) -> Vec<u16> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let of_hosts = hosts.split(',').map(|host| match host.rsplit_once(':') {
        // The colons of an IPv6 address are inside brackets.
        Some((_, port)) if !port.ends_with(']') => port.to_owned(),
        _ => String::new(),
    });
    let given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "port");
    let of_parameter: Vec<String> =
        given.flat_map(|(_, ports)| ports.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
    // An empty port is the default one (libpq), unless the parameter replaces it.
    let replaced = !of_parameter.is_empty();
    of_hosts
        .filter(|port| !(port.is_empty() && replaced))
        .chain(of_parameter.iter().cloned())
        .map(|port| port.parse().unwrap_or(POSTGRES))
        .collect()
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
            ("postgres://u:p@a:5433,b,c:5434/auth?target_session_attrs=read-write", vec![5432, 5433, 5434]),
            ("postgres://u:p@[::1]/auth", vec![5432]),
            ("postgres://u:p@[::1]:5433/auth", vec![5433]),
            ("postgresql:///auth?host=db&port=6432", vec![6432]),
            ("postgresql://db/auth?host=a,b&port=6432,6433", vec![6432, 6433]),
        ] {
            assert_eq!(sorted(database_ports(url)), expected, "{url}");
        }
    }
}

//! The ports of the server's dependencies, for the NetworkPolicies. Pure.

use latchkey_config::{SecretText, Settings};
use url::Url;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ports {
    pub database: u16,
    pub redis: u16,
    pub smtp: Option<u16>,
    pub traces: Option<u16>,
}

pub(super) fn ports(database: &SecretText, redis: &SecretText, settings: &Settings) -> Ports {
    let port = |text: &str, default: u16| {
        Url::parse(text).ok().and_then(|url| url.port_or_known_default()).unwrap_or(default)
    };
    Ports {
        database: port(database.expose(), 5432),
        redis: port(redis.expose(), 6379),
        smtp: settings.email.as_ref().map(|email| email.smtp.port),
        traces: settings.otlp_endpoint.as_deref().map(|endpoint| port(endpoint, 4317)),
    }
}

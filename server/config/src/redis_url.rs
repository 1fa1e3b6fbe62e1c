//! URLs of Redis behind Sentinel: `redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT],…/NAME[/DB]`, and `rediss+sentinel` for
//! TLS. The `url` crate accepts only one host.

use percent_encoding::percent_decode_str;
use url::{Host, form_urlencoded};

use crate::SecretText;

/// The schemes of [`SentinelUrl`].
pub(crate) const SENTINEL_SCHEMES: [&str; 2] = ["redis+sentinel://", "rediss+sentinel://"];
const SENTINEL_PORT: u16 = 26379;
const EXPECTED: &str = "a Sentinel URL has the form redis+sentinel://:PASSWORD@HOST:26379,HOST:26379/NAME";

/// Credentials for Redis or for the Sentinels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisLogin {
    /// The ACL user; the default user if unset.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretText>,
}

/// A primary that Sentinels watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelUrl {
    /// Whether the connections to Redis and to the Sentinels use TLS.
    pub tls: bool,
    /// The hosts and ports of the Sentinels. An IPv6 address has no brackets.
    pub sentinels: Vec<(String, u16)>,
    /// The name of the primary, as in the configuration of the Sentinels.
    pub name: String,
    /// The database number.
    pub database: i64,
    /// The credentials for Redis.
    pub login: RedisLogin,
    /// The credentials for the Sentinels: the parameters `sentinel_username` and `sentinel_password`.
    pub sentinel_login: RedisLogin,
}

impl SentinelUrl {
    /// Parses a URL; `None` if its scheme is another one.
    ///
    /// # Errors
    /// A clause without the URL, which may contain a password.
    pub fn parse(text: &str) -> Option<Result<Self, &'static str>> {
        let scheme = SENTINEL_SCHEMES.into_iter().find(|scheme| text.starts_with(scheme))?;
        Some(parse(&text[scheme.len()..], scheme.starts_with("rediss")).ok_or(EXPECTED))
    }
}

fn parse(rest: &str, tls: bool) -> Option<SentinelUrl> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/')?;
    let (user_info, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (username, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let (name, database) = path.split_once('/').unwrap_or((path, ""));
    let mut sentinel_login = RedisLogin::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "sentinel_username" => sentinel_login.username = Some(value.into_owned()),
            "sentinel_password" => sentinel_login.password = Some(SecretText::new(value)),
            _ => return None,
        }
    }
    Some(SentinelUrl {
        tls,
        sentinels: hosts.split(',').map(parse_node).collect::<Option<_>>()?,
        name: decode(name).filter(|name| !name.is_empty())?,
        database: if database.is_empty() {
            0
        } else {
            database.parse().ok().filter(|number| *number >= 0)?
        },
        login: RedisLogin {
            username: Some(decode(username)?).filter(|username| !username.is_empty()),
            password: Some(decode(password)?).filter(|password| !password.is_empty()).map(SecretText::new),
        },
        sentinel_login,
    })
}

fn parse_node(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
        _ => (text, SENTINEL_PORT),
    };
    let host = match Host::parse(host).ok()? {
        Host::Domain(name) => name,
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Some((host, port))
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_url_has_several_hosts_and_a_name() {
        let text = "redis+sentinel://user:p%40ss@one.example:26380,10.0.0.2,[::1]:26381/my-primary/3?sentinel_password=a%2Bb";
        let url = SentinelUrl::parse(text).unwrap().unwrap();
        assert_eq!(
            url.sentinels,
            [("one.example".to_owned(), 26380), ("10.0.0.2".to_owned(), 26379), ("::1".to_owned(), 26381)]
        );
        assert_eq!((url.tls, url.name.as_str(), url.database), (false, "my-primary", 3));
        let expected =
            RedisLogin { username: Some("user".to_owned()), password: Some(SecretText::new("p@ss")) };
        assert_eq!(url.login, expected);
        assert_eq!(url.sentinel_login.password, Some(SecretText::new("a+b")));
        let plain = SentinelUrl::parse("rediss+sentinel://one.example/primary").unwrap().unwrap();
        assert_eq!((plain.tls, plain.login), (true, RedisLogin::default()));
    }

    #[test]
    fn an_incomplete_sentinel_url_is_refused_and_others_are_left_alone() {
        for bad in [
            "one.example",
            "one.example/",
            "/name",
            "a,,b/name",
            "a:0/name",
            "a:x/name",
            "a/name/x",
            "a/n?db=1",
        ] {
            let parsed = SentinelUrl::parse(&format!("redis+sentinel://{bad}"));
            assert_eq!(parsed, Some(Err(EXPECTED)), "{bad}");
        }
        assert_eq!(SentinelUrl::parse("redis://one.example"), None);
    }
}

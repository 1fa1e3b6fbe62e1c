//! The caller's address, behind the proxies that are trusted.

use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of who sent the request. `X-Forwarded-For` is read from its end, where the nearest proxy wrote,
/// as long as whoever wrote an entry is trusted: what a caller puts there himself is never reached (OWASP ASVS 5.0
/// §4.1.3).
pub fn decide_client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let lines: Vec<&str> =
        headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        // What is no address was not written by a proxy that knows its trade: it ends the chain.
        let Some(address) = parse_entry(entry.trim()) else { return client };
        client = address;
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// An address, with or without a port.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok();
    let with_port = || entry.parse().ok().map(|socket: std::net::SocketAddr| socket.ip());
    address.or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn decide(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        decide_client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_caller_that_is_no_proxy_says_nothing_about_addresses() {
        assert_eq!(decide("192.0.2.1", &["198.51.100.1"], &[]), "192.0.2.1");
        assert_eq!(decide("192.0.2.1", &["198.51.100.1"], &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn the_last_entry_that_a_trusted_proxy_wrote_counts() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(decide("10.0.0.1", &[], &trusted), "10.0.0.1");
        assert_eq!(decide("10.0.0.1", &["6.6.6.6, 192.0.2.1"], &trusted), "192.0.2.1");
        assert_eq!(decide("10.0.0.1", &["6.6.6.6", "192.0.2.1, 10.9.9.9"], &trusted), "192.0.2.1");
        assert_eq!(decide("::ffff:10.0.0.1", &["192.0.2.1:4711"], &trusted), "192.0.2.1");
        assert_eq!(decide("2001:db8::1", &["[2001:db9::7]:4711"], &trusted), "2001:db9::7");
        assert_eq!(decide("10.0.0.1", &["192.0.2.1, unknown"], &trusted), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn whatever_is_forged_before_the_proxys_own_entry_changes_nothing(forged in "[ -~]{0,80}") {
            let line = format!("{forged}, 192.0.2.1");
            prop_assert_eq!(decide("10.0.0.1", &[&line], &["10.0.0.0/8"]), "192.0.2.1");
        }
    }
}

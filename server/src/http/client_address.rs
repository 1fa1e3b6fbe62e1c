//! The client's address behind trusted proxies.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The maximum number of entries read. Chains of proxies are shorter, and a client may send thousands of entries.
const MAX_HOPS: usize = 64;
/// The longest entry that can be an address: an IPv6 address in brackets with a port.
const MAX_ENTRY: usize = 64;

/// The address of the client. `X-Forwarded-For` is read from its end, where the nearest proxy appended its entry, and only
/// as far as trusted proxies wrote the entries: entries of the client are never used (OWASP ASVS 5.0 §4.1.3). Several
/// headers are one list (RFC 9110 §5.3). The header is read as bytes, entry by entry, so that bytes of the client that are
/// not text do not hide the entry of the proxy.
///
/// An entry that is not an address ends the chain: the request then counts for the trusted proxy that wrote the entry, so
/// that a client cannot evade a limit with an unreadable entry.
pub fn decide_client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev().map(HeaderValue::as_bytes);
    let entries = lines.flat_map(|line| line.rsplit(|byte| *byte == b',')).take(MAX_HOPS);
    // Empty elements are no entries (RFC 9110 §5.6.1.2).
    for entry in entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty()) {
        let Some(address) = parse_entry(entry) else { return client };
        client = address;
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// Parses an address, with or without a port.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok().filter(|entry| entry.len() <= MAX_ENTRY)?;
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok();
    let with_port = || entry.parse().ok().map(|socket: std::net::SocketAddr| socket.ip());
    address.or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRUSTED: [&str; 2] = ["10.0.0.0/8", "2001:db8::/32"];

    fn decide_bytes(peer: &str, lines: &[&[u8]], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        decide_client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    fn decide(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        decide_bytes(peer, &lines, trusted)
    }

    #[test]
    fn the_header_of_a_client_that_is_not_a_trusted_proxy_is_ignored() {
        assert_eq!(decide("192.0.2.1", &["198.51.100.1"], &[]), "192.0.2.1");
        assert_eq!(decide("192.0.2.1", &["198.51.100.1"], &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn the_last_entry_that_a_trusted_proxy_wrote_counts() {
        for (peer, lines, expected) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["6.6.6.6", "192.0.2.1, 10.9.9.9"], "192.0.2.1"),
            ("10.0.0.1", &["6.6.6.6", "7.7.7.7,192.0.2.1", "10.9.9.9"], "192.0.2.1"),
            ("10.0.0.1", &["10.8.8.8, 10.9.9.9"], "10.8.8.8"),
            // Ports, brackets, mapped addresses.
            ("::ffff:10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("2001:db8::1", &["[2001:db9::7]:4711"], "2001:db9::7"),
            ("2001:db8::1", &["[2001:db9::7]"], "2001:db9::7"),
            ("2001:db8::1", &["2001:DB9::7"], "2001:db9::7"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.1, [::ffff:10.9.9.9]:80"], "192.0.2.1"),
            ("10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
            // Space, tabs and empty elements.
            ("10.0.0.1", &["6.6.6.6,\t192.0.2.1\t"], "192.0.2.1"),
            ("10.0.0.1", &["", "192.0.2.1, ,,\t, 10.9.9.9, "], "192.0.2.1"),
        ] {
            assert_eq!(decide(peer, lines, &TRUSTED), expected, "{lines:?}");
        }
    }

    #[test]
    fn an_entry_that_is_not_an_address_counts_for_the_proxy_that_wrote_it() {
        for entry in [
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.1:port",
            "192.0.2.1 192.0.2.2",
            "[192.0.2.1",
            "::1%eth0",
        ] {
            let line = format!("6.6.6.6, {entry}, 10.9.9.9");
            assert_eq!(decide("10.0.0.1", &[&line], &TRUSTED), "10.9.9.9", "{entry}");
        }
        assert_eq!(decide_bytes("10.0.0.1", &[b"6.6.6.6, 192.0.2.\xb9"], &TRUSTED), "10.0.0.1");
        let long = format!("6.6.6.6, {}", "1".repeat(10_000));
        assert_eq!(decide("10.0.0.1", &[&long], &TRUSTED), "10.0.0.1");
    }

    #[test]
    fn a_chain_of_thousands_of_entries_is_read_in_part() {
        let line = format!("192.0.2.1{}", ", 10.9.9.9".repeat(5_000));
        assert_eq!(decide("10.0.0.1", &[&line], &TRUSTED), "10.9.9.9");
    }

    prop_compose! {
        /// Any bytes that a header may have.
        fn forged()(bytes in prop::collection::vec(any::<u8>(), 0..120)) -> Vec<u8> {
            bytes.into_iter().filter(|byte| HeaderValue::from_bytes(&[*byte]).is_ok()).collect()
        }
    }

    proptest! {
        #[test]
        fn entries_before_the_entry_of_the_proxy_are_ignored(
            forged in prop::collection::vec(forged(), 0..4), own_line in any::<bool>(), hops in 0_usize..4,
        ) {
            let appended = format!("192.0.2.1{}", ", 10.9.9.9".repeat(hops)).into_bytes();
            let mut lines = forged;
            match lines.last_mut() {
                // A proxy appends to the last header, or adds one.
                Some(last) if !own_line => last.extend([b", ", &appended[..]].concat()),
                _ => lines.push(appended),
            }
            let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(decide_bytes("10.0.0.1", &lines, &TRUSTED), "192.0.2.1");
        }

        #[test]
        fn no_header_causes_a_panic(lines in prop::collection::vec(forged(), 0..4)) {
            let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
            decide_bytes("10.0.0.1", &lines, &TRUSTED);
        }
    }
}

//! The origin of a request.

use std::net::{IpAddr, Ipv6Addr};

/// Metadata of a request, for the audit log and the rate limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The id in the response and in every log line of the request.
    pub request_id: String,
    /// The client's address, as the trusted proxies report it.
    pub address: IpAddr,
    /// The client's `User-Agent`, truncated to [`Origin::MAX_USER_AGENT`] characters and without control characters.
    pub user_agent: Option<String>,
}

impl Origin {
    /// The maximum length of the stored user agent, in characters.
    pub const MAX_USER_AGENT: usize = 256;

    /// The network to which rate limits apply: an IPv4 address, or the /64 of an IPv6 address, which is the smallest
    /// allocation of a subscriber (RFC 6177).
    pub fn network(&self) -> IpAddr {
        match self.address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => truncate(address, 64),
        }
    }

    /// The /48 of an IPv6 address, which is the largest allocation of a subscriber (RFC 6177); `None` for IPv4.
    pub fn site(&self) -> Option<IpAddr> {
        match self.address.to_canonical() {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(truncate(address, 48)),
        }
    }
}

fn truncate(address: Ipv6Addr, prefix: u32) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(u128::from(address) & (u128::MAX << (128 - prefix))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin { request_id: String::new(), address: address.parse().unwrap(), user_agent: None }
    }

    fn network(address: &str) -> String {
        origin(address).network().to_string()
    }

    #[test]
    fn the_site_is_an_ipv6_48() {
        assert_eq!(origin("192.0.2.7").site(), None);
        assert_eq!(origin("::ffff:192.0.2.7").site(), None);
        assert_eq!(origin("2001:db8:1:2:3:4:5:6").site(), "2001:db8:1::".parse().ok());
    }

    #[test]
    fn the_network_is_an_ipv4_address_or_an_ipv6_64() {
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}

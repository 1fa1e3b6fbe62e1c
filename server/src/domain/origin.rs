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
            IpAddr::V6(address) => {
                let bits = u128::from(address) & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from(bits))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> String {
        let address = address.parse().unwrap();
        Origin { request_id: String::new(), address, user_agent: None }.network().to_string()
    }

    #[test]
    fn the_network_is_an_ipv4_address_or_an_ipv6_64() {
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}

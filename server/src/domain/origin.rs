//! Where a request comes from.

use std::net::{IpAddr, Ipv6Addr};

/// What is known of a request beside what it asks for; it goes into the audit and decides about limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The request's id, as in the answer and in every log line.
    pub request_id: String,
    /// The caller's address, behind the proxies that are trusted.
    pub address: IpAddr,
    /// The caller's own word, cut to [`Origin::MAX_USER_AGENT`] characters; no control characters.
    pub user_agent: Option<String>,
}

impl Origin {
    /// The longest user agent that is kept, in characters.
    pub const MAX_USER_AGENT: usize = 256;

    /// The network that limits count for: an IPv4 address, or the /64 of an IPv6 address, which is what one
    /// subscriber has at least (RFC 6177).
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
    fn an_ipv6_subscriber_is_one_network_and_an_ipv4_address_is_itself_in_any_spelling() {
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}

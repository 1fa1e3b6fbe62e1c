//! Listening on all addresses of both families.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

/// The address to listen on instead of one that the kernel has refused: `[::]` accepts connections of both families, but a
/// kernel without IPv6 only has `0.0.0.0`. `None` for every other address, and if the port is in use or not permitted.
#[must_use]
pub fn decide_ipv4_fallback(address: SocketAddr, refused: &Error) -> Option<SocketAddr> {
    let everywhere = address.is_ipv6() && address.ip().is_unspecified();
    let port = matches!(refused.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied);
    (everywhere && !port).then(|| (Ipv4Addr::UNSPECIFIED, address.port()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_without_ipv6_makes_it_listen_on_ipv4_alone() {
        let decide = |address: &str, kind: ErrorKind| {
            decide_ipv4_fallback(address.parse().unwrap(), &kind.into()).map(|address| address.to_string())
        };
        assert_eq!(decide("[::]:8080", ErrorKind::Unsupported).as_deref(), Some("0.0.0.0:8080"));
        assert_eq!(decide("[::]:8080", ErrorKind::AddrNotAvailable).as_deref(), Some("0.0.0.0:8080"));
        assert_eq!(decide("[::]:8080", ErrorKind::AddrInUse), None);
        assert_eq!(decide("[::]:80", ErrorKind::PermissionDenied), None);
        for address in ["[::1]:8080", "0.0.0.0:8080", "127.0.0.1:8080"] {
            assert_eq!(decide(address, ErrorKind::AddrNotAvailable), None, "{address}");
        }
    }
}

//! Listening on a TCP port, also on all addresses of both families. The server and the operator use it.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted; the kernel lowers it to `net.core.somaxconn`, which is 4096 by default.
/// With the standard library's 128, a burst of clients loses packets and waits for a second or more until they are sent
/// again.
const BACKLOG: i32 = 4096;

/// Listens on `address`. For `[::]` on a kernel without IPv6, it listens on `0.0.0.0`. The listener is non-blocking.
///
/// # Errors
/// When the address is in use, not permitted or not available.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    listen_on(address).or_else(|refused| match decide_ipv4_fallback(address, &refused) {
        Some(ipv4) => listen_on(ipv4),
        None => Err(refused),
    })
}

fn listen_on(address: SocketAddr) -> Result<TcpListener, Error> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted program may listen although connections of its predecessor are still being closed.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The address to listen on instead of one that the kernel has refused: `[::]` accepts connections of both families, but a
/// kernel without IPv6 only has `0.0.0.0`. `None` for every other address, and if the port is in use or not permitted.
fn decide_ipv4_fallback(address: SocketAddr, refused: &Error) -> Option<SocketAddr> {
    let everywhere = address.is_ipv6() && address.ip().is_unspecified();
    let port = matches!(refused.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied);
    (everywhere && !port).then(|| (Ipv4Addr::UNSPECIFIED, address.port()).into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_burst_of_clients_connects_before_one_is_accepted() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, std::time::Duration::from_millis(900));
        let waiting: Vec<_> = (0..600).map(|_| connect().unwrap()).collect();
        assert_eq!(waiting.len(), 600);
    }

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

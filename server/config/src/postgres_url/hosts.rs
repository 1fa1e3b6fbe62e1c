//! The hosts and ports of a URL.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::{POSTGRES_PORT, PostgresAddress, PostgresHost, decode};

const HOST: &str = "it has a host that is neither a host name, an IP address nor the folder of a socket: \
                    percent-encode special characters of the password";
const PORT: &str = "it has a port that is not a number between 1 and 65535: percent-encode special characters of the password";

/// Splits `HOST:PORT,HOST:PORT` into hosts and ports, which are empty where none is given.
pub(super) fn split_authority(text: &str) -> Result<(Vec<String>, Vec<String>), String> {
    if text.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for part in text.split(',') {
        let (host, port) = if let Some(rest) = part.strip_prefix('[') {
            let (address, after) = rest.split_once(']').ok_or(HOST)?;
            let address = decode(address, "host")?;
            parse_ipv6(&address).ok_or(HOST)?;
            let port = match after.strip_prefix(':') {
                Some(port) => port,
                None if after.is_empty() => "",
                None => return Err(HOST.to_owned()),
            };
            (address, port)
        } else {
            let (host, port) = part.split_once(':').unwrap_or((part, ""));
            (decode(host, "host")?, port)
        };
        hosts.push(host);
        ports.push(port.to_owned());
    }
    Ok((hosts, ports))
}

/// Combines the lists. `addresses` (`hostaddr`) replace the host names when connecting.
pub(super) fn combine(
    hosts: &[String],
    addresses: &[String],
    ports: &[String],
) -> Result<Vec<PostgresHost>, String> {
    let names = if addresses.is_empty() { hosts } else { addresses };
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err("it has another number of `hostaddr` values than of hosts".to_owned());
    }
    if ports.len() > 1 && ports.len() != names.len().max(1) {
        return Err("it has another number of ports than of hosts".to_owned());
    }
    let port = |index: usize| {
        let text = ports.get(index).or(ports.first().filter(|_| ports.len() == 1));
        parse_port(text.map_or("", String::as_str))
    };
    if names.iter().all(String::is_empty) {
        // The default host of libpq, at the port that is given.
        let is_port_given = ports.iter().any(|port| !port.is_empty());
        let address = PostgresAddress::Tcp("localhost".to_owned());
        return Ok(if is_port_given { vec![PostgresHost { address, port: port(0)? }] } else { Vec::new() });
    }
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            if !addresses.is_empty() && name.parse::<IpAddr>().is_err() {
                return Err("its `hostaddr` is not an IP address".to_owned());
            }
            Ok(PostgresHost { address: parse_address(name)?, port: port(index)? })
        })
        .collect()
}

fn parse_port(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Ok(POSTGRES_PORT);
    }
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| PORT.to_owned())
}

fn parse_address(name: &str) -> Result<PostgresAddress, String> {
    if name.starts_with('/') {
        return Ok(PostgresAddress::Socket(PathBuf::from(name)));
    }
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_name =
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if is_name || parse_ipv6(name).is_some() {
        Ok(PostgresAddress::Tcp(name.to_owned()))
    } else {
        Err(HOST.to_owned())
    }
}

fn parse_ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse().ok()
}

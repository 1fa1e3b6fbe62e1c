//! Cookies: `refresh_token` and `latchkey_device`, which are set here, and reading any.

use axum::http::header::{COOKIE, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderValue};

use crate::crypto::OneTimeSecret;
use crate::service::DeviceCookie;

/// Sets the cookie for this many seconds. A JWT needs no quoting: base64url and dots.
pub fn set(token: &str, seconds: i64) -> Result<HeaderValue, InvalidHeaderValue> {
    HeaderValue::from_str(&format!(
        "refresh_token={token}; HttpOnly; Secure; SameSite=Lax; Path=/api/v1/auth; Max-Age={seconds}"
    ))
}

/// Clears the cookie.
pub fn clear() -> HeaderValue {
    HeaderValue::from_static("refresh_token=; HttpOnly; Secure; SameSite=Lax; Path=/api/v1/auth; Max-Age=0")
}

/// What a request has under a cookie's name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing, or nothing but an empty value.
    None,
    /// One value.
    One(&'a str),
    /// Values that differ: a neighbouring domain can add its own (RFC 6265 §8.6), and nothing tells which is
    /// which.
    Several,
}

/// Looks for a cookie (RFC 6265 §4.2.1). HTTP/2 may spread them over several headers (RFC 9113 §8.2.3).
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Found<'a> {
    let mut found = Found::None;
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    for (cookie, value) in lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('=')) {
        let value = value.trim();
        if cookie.trim() != name || value.is_empty() || found == Found::One(value) {
            continue;
        }
        if found != Found::None {
            return Found::Several;
        }
        found = Found::One(value);
    }
    found
}

const DEVICE: &str = "latchkey_device";
/// A year; the database forgets it then too.
const DEVICE_SECONDS: u32 = 31_536_000;

/// Lets the browser be known again.
pub fn remember_device(device: &OneTimeSecret) -> Result<HeaderValue, InvalidHeaderValue> {
    HeaderValue::from_str(&format!(
        "{DEVICE}={}; HttpOnly; Secure; SameSite=Lax; Path=/api/v1/auth; Max-Age={DEVICE_SECONDS}",
        device.expose()
    ))
}

/// What the browser was given by [`remember_device`], if it sends it (RFC 6265 §4.2.1).
pub fn device(headers: &HeaderMap) -> Option<DeviceCookie<'_>> {
    match find(headers, DEVICE) {
        Found::One(value) => DeviceCookie::parse(value),
        Found::None | Found::Several => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[Vec<u8>]) -> HeaderMap {
        let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
        values.map(|value| (COOKIE, value)).collect()
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name_and_only_if_it_is_one() {
        for (lines, expected) in [
            (vec!["a=1"], Found::One("1")),
            (vec!["b=2; a=1"], Found::One("1")),
            (vec!["b=2", "a=1;a=1"], Found::One("1")),
            (vec!["aa=1; A=1; a; =a; a="], Found::None),
            (vec!["a=1; a=2"], Found::Several),
            (vec!["a=1", "a=2"], Found::Several),
            (vec!["a=x=y"], Found::One("x=y")),
            (vec![], Found::None),
        ] {
            let lines: Vec<_> = lines.into_iter().map(|line| line.as_bytes().to_vec()).collect();
            assert_eq!(find(&headers(&lines), "a"), expected, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_else_is_sent_the_value_found_is_one_that_stands_there(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4),
        ) {
            let headers = headers(&lines);
            if let Found::One(value) = find(&headers, "a") {
                let pair = format!("a={value}");
                let stands = |line: &[u8]| String::from_utf8_lossy(line).replace(' ', "").contains(&pair);
                prop_assert!(lines.iter().any(|line| stands(line)) || value.contains(' '));
            }
        }
    }
}

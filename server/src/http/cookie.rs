//! Setting the cookies `refresh_token` and `latchkey_device`, and reading any cookie.

use axum::http::header::{COOKIE, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderValue};

use super::prefix::path_of;
use crate::crypto::OneTimeSecret;
use crate::service::DeviceCookie;

/// The cookies that this server sets. Browsers see it at the issuer, whose path may be absent from requests here.
#[derive(Debug, Clone, Copy)]
pub struct Cookies<'a> {
    issuer: &'a str,
}

impl<'a> Cookies<'a> {
    pub fn new(issuer: &'a str) -> Self {
        Self { issuer }
    }

    /// Sets the refresh token for this many seconds. A JWT needs no quoting: base64url and dots.
    pub fn refresh_token(self, token: &str, seconds: i64) -> Result<HeaderValue, InvalidHeaderValue> {
        self.set("refresh_token", token, seconds)
    }

    /// Clears the refresh token.
    pub fn clear(self) -> Result<HeaderValue, InvalidHeaderValue> {
        self.set("refresh_token", "", 0)
    }

    /// Sets the device cookie, by which the browser is recognized at its next login.
    pub fn remember_device(self, device: &OneTimeSecret) -> Result<HeaderValue, InvalidHeaderValue> {
        self.set(DEVICE, device.expose(), DEVICE_SECONDS)
    }

    fn set(self, name: &str, value: &str, seconds: i64) -> Result<HeaderValue, InvalidHeaderValue> {
        // A semicolon would end the attribute.
        let prefix = Some(path_of(self.issuer)).filter(|path| !path.contains(';'));
        let path = prefix.map_or_else(|| "/".to_owned(), |path| format!("{path}/api/v1/auth"));
        HeaderValue::from_str(&format!(
            "{name}={value}; HttpOnly; Secure; SameSite=Lax; Path={path}; Max-Age={seconds}"
        ))
    }
}

/// The value of a cookie in a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Absent, or empty.
    None,
    /// One value.
    One(&'a str),
    /// Not text, or several different values: a neighbouring domain can add its own (RFC 6265 §8.6), and they cannot be
    /// distinguished. That domain must not be able to choose by the position or the form of its cookie.
    Unusable,
}

/// Finds a cookie (RFC 6265 §4.2.1). HTTP/2 may spread cookies over several headers (RFC 9113 §8.2.3). Reads bytes, since
/// applications of the same domain may set cookies that are not ASCII.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Found<'a> {
    let mut found: Option<&[u8]> = None;
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    for pair in lines.flat_map(|line| line.split(|byte| *byte == b';')) {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let value = unquoted(pair[equals + 1..].trim_ascii());
        if pair[..equals].trim_ascii() != name.as_bytes() || value.is_empty() || found == Some(value) {
            continue;
        }
        if found.is_some() {
            return Found::Unusable;
        }
        found = Some(value);
    }
    match found.map(std::str::from_utf8) {
        None => Found::None,
        Some(Ok(value)) => Found::One(value),
        Some(Err(_)) => Found::Unusable,
    }
}

/// The value without the quotes that RFC 6265 §4.1.1 allows around it.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

const DEVICE: &str = "latchkey_device";
/// A year, after which the database deletes the device too.
const DEVICE_SECONDS: i64 = 31_536_000;

/// The device cookie that [`Cookies::remember_device`] set, if the browser sends it (RFC 6265 §4.2.1).
pub fn device(headers: &HeaderMap) -> Option<DeviceCookie<'_>> {
    match find(headers, DEVICE) {
        Found::One(value) => DeviceCookie::parse(value),
        Found::None | Found::Unusable => None,
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
            (vec![&b"a=1"[..]], Found::One("1")),
            (vec![b"b=2; a=1"], Found::One("1")),
            (vec![b"b=2", b"a=1;a=1"], Found::One("1")),
            (vec![b"aa=1; A=1; a; =a; a="], Found::None),
            (vec![b"a=1; a=2"], Found::Unusable),
            (vec![b"a=1", b"a=2"], Found::Unusable),
            (vec![b"a=2", b"b=1", b"a=1"], Found::Unusable),
            (vec![b"a=x=y"], Found::One("x=y")),
            (vec![b"a=1;b=2 ;\tc=3"], Found::One("1")),
            (vec![b"b=2;\ta=1\t"], Found::One("1")),
            (vec![b"a=\"1\""], Found::One("1")),
            (vec![b"a=\"1\"; a=1"], Found::One("1")),
            (vec![b"a=\"1"], Found::One("\"1")),
            (vec![b"a=\""], Found::One("\"")),
            (vec![b"a=\"\""], Found::None),
            // Others may be no ASCII, and no UTF-8.
            (vec!["city=Zürich; a=1".as_bytes()], Found::One("1")),
            (vec![b"a=1; city=Z\xfcrich"], Found::One("1")),
            (vec![b"\xff\xfe", b"a=1"], Found::One("1")),
            (vec![b"a=\xff"], Found::Unusable),
            (vec![b"a=\xff; a=1"], Found::Unusable),
            (vec![], Found::None),
        ] {
            let lines: Vec<_> = lines.into_iter().map(<[u8]>::to_vec).collect();
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
                let stands = |line: &Vec<u8>| line.windows(value.len()).any(|part| part == value.as_bytes());
                prop_assert!(lines.iter().any(stands));
            }
        }

        #[test]
        fn other_cookies_change_nothing(
            before in "[^;\\x00-\\x1f\\x7f]{0,20}", after in prop::collection::vec(128_u8.., 0..20),
        ) {
            prop_assume!(before.split('=').next().is_some_and(|name| name.trim() != "a"));
            let line = [before.as_bytes(), b"; a=1; b=", &after].concat();
            let headers = headers(&[line]);
            prop_assert_eq!(find(&headers, "a"), Found::One("1"));
        }
    }
}

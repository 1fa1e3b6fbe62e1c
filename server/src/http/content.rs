//! What a request says of its body: media type, content coding and charset.

use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};

use super::problem::Problem;

/// `application/json`
pub const JSON: &str = "application/json";
/// The default media type of a form.
pub const URLENCODED: &str = "application/x-www-form-urlencoded";
/// The media type of a form with parts.
pub const MULTIPART: &str = "multipart/form-data";

/// A media type that an endpoint reads, and the character encoding of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Lower case, without parameters.
    pub media_type: &'static str,
    /// Whether the body's charset agrees with UTF-8 for ASCII only, so that any other character would be misread.
    ascii_only: bool,
}

impl Content {
    /// Reads the headers of a request whose body may have the `accepted` media types.
    ///
    /// # Errors
    /// `415` for another media type, a compressed body, or a charset in which even ASCII differs from UTF-8. The
    /// response names what is accepted (RFC 9110 §15.5.16).
    pub fn of_request(headers: &HeaderMap, accepted: &[&'static str]) -> Result<Self, Problem> {
        let mut values = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
        // As bytes: a parameter, such as the name of a file, may be no ASCII. Of two headers none is chosen.
        let value = values.next().filter(|_| values.next().is_none()).unwrap_or_default();
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let found = accepted.iter().find(|name| essence.eq_ignore_ascii_case(name.as_bytes()));
        let Some(media_type) = found.copied() else { return Err(unsupported_type(accepted)) };
        if is_encoded(headers) {
            let detail = "The body must not be compressed: send it without Content-Encoding.";
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
            return Err(problem.with_accepted(ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        }
        // RFC 7578 §5.1.2: of a form with parts, charset is a parameter of each part.
        let charset = if media_type == MULTIPART { None } else { parameter(value, b"charset") };
        let ascii_only = match charset.as_deref().map(agreement_with_utf8) {
            None | Some(Agreement::Full) => false,
            Some(Agreement::Ascii) => true,
            Some(Agreement::None) => return Err(unsupported_charset(media_type)),
        };
        Ok(Self { media_type, ascii_only })
    }

    /// Asserts that text of the body means the same in its charset and in UTF-8. In a form this is the decoded text.
    ///
    /// # Errors
    /// `415`: a password must not be changed silently.
    pub fn check_text(self, text: &[u8]) -> Result<(), Problem> {
        if self.ascii_only && !text.is_ascii() { Err(unsupported_charset(self.media_type)) } else { Ok(()) }
    }
}

fn unsupported_type(accepted: &[&str]) -> Problem {
    let detail = format!("The body must be {}.", accepted.join(" or "));
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    match HeaderValue::from_str(&accepted.join(", ")) {
        Ok(value) => problem.with_accepted(ACCEPT, value),
        Err(_) => problem,
    }
}

fn unsupported_charset(media_type: &str) -> Problem {
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be encoded in UTF-8.");
    match HeaderValue::from_str(&format!("{media_type};charset=utf-8")) {
        Ok(value) => problem.with_accepted(ACCEPT, value),
        Err(_) => problem,
    }
}

/// Whether the body has a content coding other than `identity` (RFC 9110 §8.4). Several headers are one list.
fn is_encoded(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
    let mut codings = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// The value of a media type's parameter, lower case and without quotes (RFC 9110 §5.6.6).
fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    value.split(|byte| *byte == b';').skip(1).find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, text) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        let bare = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(text);
        key.eq_ignore_ascii_case(name).then(|| bare.to_ascii_lowercase())
    })
}

enum Agreement {
    Full,
    Ascii,
    None,
}

/// How far a charset, by its label (WHATWG Encoding §4.2), agrees with UTF-8. Libraries that declare ISO-8859-1 by
/// default send nothing but ASCII most of the time.
fn agreement_with_utf8(label: &[u8]) -> Agreement {
    const ASCII_COMPATIBLE: [&[u8]; 8] = [
        b"us-ascii",
        b"ascii",
        b"ansi_x3.4-1968",
        b"iso-8859-",
        b"iso8859-",
        b"iso_8859-",
        b"latin",
        b"windows-125",
    ];
    match label {
        b"" | b"utf-8" | b"utf8" => Agreement::Full,
        label if ASCII_COMPATIBLE.iter().any(|prefix| label.starts_with(prefix)) => Agreement::Ascii,
        _ => Agreement::None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(lines: &[(&'static str, &[u8])]) -> Result<Content, StatusCode> {
        let headers = lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap()));
        Content::of_request(&headers.collect(), &[JSON, MULTIPART]).map_err(|problem| problem.status())
    }

    #[test]
    fn parameters_and_case_change_nothing() {
        for value in [
            &b"application/json"[..],
            b"Application/JSON ; Charset=UTF-8",
            b"application/json;charset=\"utf-8\"",
            b"application/json; charset=utf8;",
            b"application/json; name=\"gr\xfcn\"",
            b"application/json; charset=",
            b"APPLICATION/JSON;",
        ] {
            let found = content(&[("content-type", value)]).unwrap();
            assert_eq!((found.media_type, found.ascii_only), (JSON, false), "{value:?}");
        }
    }

    #[test]
    fn a_charset_that_agrees_for_ascii_is_for_ascii_only() {
        for charset in ["iso-8859-1", "\"ISO-8859-15\"", "latin1", "windows-1252", "us-ascii"] {
            let value = format!("application/json; charset={charset}");
            let found = content(&[("content-type", value.as_bytes())]).unwrap();
            assert!(found.check_text(b"{}").is_ok() && found.check_text(b"\xfc").is_err(), "{charset}");
        }
        for charset in ["utf-16", "utf-16le", "utf-32", "utf-7", "ebcdic-us", "shift_jis", "x"] {
            let value = format!("application/json; charset={charset}");
            assert!(content(&[("content-type", value.as_bytes())]).is_err(), "{charset}");
        }
    }

    #[test]
    fn no_other_type_and_no_coding_is_read() {
        for value in [&b""[..], b"text/json", b"application/jsonp", b"application/json, application/json"] {
            assert_eq!(content(&[("content-type", value)]), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let json = ("content-type", &b"application/json"[..]);
        assert!(content(&[]).is_err() && content(&[json, json]).is_err());
        for coding in [&b"gzip"[..], b"br", b"Deflate", b"zstd", b"x", b"identity, gzip", b"\xff"] {
            assert!(content(&[json, ("content-encoding", coding)]).is_err(), "{coding:?}");
        }
        for coding in [&b"identity"[..], b"Identity", b"", b" , identity,identity"] {
            assert!(content(&[json, ("content-encoding", coding)]).is_ok(), "{coding:?}");
        }
        assert!(content(&[json, ("content-encoding", b"identity"), ("content-encoding", b"gzip")]).is_err());
    }

    proptest! {
        #[test]
        fn no_headers_make_it_panic(
            kind in "(application/json|multipart/form-data)?[;=\" a-zA-Z0-9-]{0,30}", coding in "[a-z, ]{0,20}",
        ) {
            let _ = content(&[
                ("content-encoding", coding.as_bytes()), ("content-type", kind.as_bytes()),
            ]);
        }
    }
}

//! Origins of web pages, as browsers and web views send them in `Origin` (RFC 6454 §6.2).

use url::{Origin, Url};

/// Schemes whose pages have an opaque origin, which browsers send as `null`: it cannot be told from any other page's.
const OPAQUE: [&str; 5] = ["about", "blob", "data", "file", "javascript"];

/// The serialization of an origin: scheme, host and port, nothing else. Apart from `https` and `http` the scheme may be
/// that of a web view or a browser extension, such as `capacitor://localhost`; their hosts are taken as they stand.
pub fn parse_web_origin(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    // A pattern would match no origin.
    if rest.contains('*') {
        return None;
    }
    match scheme.as_str() {
        "http" | "https" => {
            let url = Url::parse(text).ok()?;
            let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            let has_login = !url.username().is_empty() || url.password().is_some();
            match url.origin() {
                origin @ Origin::Tuple(..) if plain && !has_login => Some(origin.ascii_serialization()),
                _ => None,
            }
        }
        opaque if OPAQUE.contains(&opaque) => None,
        _ => {
            let host = rest.strip_suffix('/').unwrap_or(rest);
            let is_host = |byte: u8| byte.is_ascii_graphic() && !br#"/?#@,*"'\<>%"#.contains(&byte);
            let valid = is_scheme(&scheme) && !host.is_empty() && host.bytes().all(is_host);
            valid.then(|| format!("{scheme}://{host}"))
        }
    }
}

/// RFC 3986 §3.1
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::parse_web_origin;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for (text, origin) in [
            ("https://App.Example.com:443/", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("Capacitor://localhost", "capacitor://localhost"),
            ("ionic://localhost/", "ionic://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("app://.", "app://."),
            ("app://localhost:1234", "app://localhost:1234"),
            ("com.example.app+x://host", "com.example.app+x://host"),
            ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
            ("safari-web-extension://5D1F-AB", "safari-web-extension://5D1F-AB"),
        ] {
            assert_eq!(parse_web_origin(text).as_deref(), Some(origin), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_an_origin() {
        for text in [
            "",
            "null",
            "*",
            "https://*",
            "https://*.example.com",
            "capacitor://*",
            "https://",
            "capacitor://",
            "localhost",
            "//localhost",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://:p@a",
            "capacitor://localhost/x",
            "app://a?b",
            "app://u@a",
            "app://a,b",
            "app://a b",
            "app://a\r\nb",
            "app://\u{fc}",
            "1app://a",
            "ap_p://a",
            "file://",
            "file:///",
            "file://host",
            "data://x",
            "blob://x",
            "about://blank",
            "javascript://x",
        ] {
            assert_eq!(parse_web_origin(text), None, "{text}");
        }
    }
}

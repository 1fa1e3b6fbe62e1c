//! Serving below a path, such as `https://example.com/auth`, whether or not the proxy removes that path.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use tower::util::MapRequest;

/// The endpoint for forward authentication.
pub const VERIFY: &str = "/api/v1/auth/verify";

/// Whether a request asks about a request to another application. A proxy may pass on that request's method, headers and
/// path, none of which is meant for this server.
pub fn is_verify_path(path: &str) -> bool {
    path.strip_prefix(VERIFY).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where paths of this server begin, and the others.
const FOLDERS: [&str; 3] = ["/api/v1/", "/.well-known/", "/docs/"];
const FILES: [&str; 5] = ["/docs", "/openapi.json", "/reset-password", "/verify-email", "/confirm-email"];

/// The path of a base URL, as in requests; empty at the root.
pub fn path_of(base: &str) -> &str {
    let after_scheme = base.split_once("://").map_or("", |(_, rest)| rest);
    after_scheme.find('/').map_or("", |at| after_scheme[at..].trim_end_matches('/'))
}

/// Routes requests as if the path of a base URL (the issuer's, or that of links in e-mails) were not there.
pub fn serve_below(bases: &[&str], router: Router) -> Router {
    let prefixes: Arc<[String]> =
        bases.iter().map(|base| path_of(base).to_owned()).filter(|path| !path.is_empty()).collect();
    if prefixes.is_empty() {
        return router;
    }
    let rewrite = move |mut request: Request| {
        if let Some(uri) = prefixes.iter().find_map(|prefix| without_prefix(request.uri(), prefix)) {
            *request.uri_mut() = uri;
        }
        request
    };
    Router::new().fallback_service(MapRequest::new(router, rewrite))
}

/// `None` for a path that does not begin with the prefix, or of which nothing that is served remains. What a proxy asks
/// about behind `/verify/` is the path of another application.
fn without_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    if is_verify_path(uri.path()) {
        return None;
    }
    let rest = uri.path().strip_prefix(prefix)?;
    let is_served = FOLDERS.iter().any(|folder| rest.starts_with(folder)) || FILES.contains(&rest);
    let path_and_query = match uri.query().filter(|_| is_served) {
        Some(query) => format!("{rest}?{query}"),
        None if is_served => rest.to_owned(),
        None => return None,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_path_is_what_follows_the_host() {
        for (base, path) in [
            ("https://auth.example.com", ""),
            ("http://auth.example.com:8080/", ""),
            ("https://auth.example.com/a", "/a"),
            ("https://auth.example.com/a/b/", "/a/b"),
        ] {
            assert_eq!(path_of(base), path, "{base}");
        }
    }

    #[test]
    fn only_what_is_served_is_found_below_the_prefix() {
        for (prefix, path, expected) in [
            ("/auth", "/auth/api/v1/auth/login", Some("/api/v1/auth/login")),
            ("/auth", "/auth/reset-password?token=a%2fb&x", Some("/reset-password?token=a%2fb&x")),
            ("/auth", "/auth/docs", Some("/docs")),
            ("/auth", "http://host/auth/docs/", Some("http://host/docs/")),
            ("/auth", "/auth/.well-known/jwks.json", Some("/.well-known/jwks.json")),
            ("/auth", "/auth/auth/docs", None),
            ("/auth", "/authority/docs", None),
            ("/auth", "/auth", None),
            ("/auth", "/auth/", None),
            ("/auth", "/auth//docs", None),
            ("/auth", "/AUTH/docs", None),
            ("/auth", "/api/v1/auth/login", None),
            // What remains is no path of ours.
            ("/api", "/api/v1/auth/login", None),
            ("/api/v1", "/api/v1/users", None),
            ("/api", "/api/api/v1/users", Some("/api/v1/users")),
            // Paths of other applications.
            ("/api/v1/auth/verify", "/api/v1/auth/verify/api/v1/users", None),
        ] {
            let uri = path.parse().unwrap();
            assert_eq!(
                without_prefix(&uri, prefix).map(|uri| uri.to_string()).as_deref(),
                expected,
                "{path}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_proxy_that_removes_the_prefix_reaches_the_same(
            prefix in "(/[a-z%0-9.~-]{1,8}){1,3}", rest in "/(api/v1/[a-z/]{0,9}|docs/|openapi\\.json)(\\?[a-z=&]{0,5})?",
        ) {
            prop_assume!(!format!("{prefix}{rest}").starts_with("/api/v1/auth/verify"));
            let uri = format!("{prefix}{rest}").parse().unwrap();
            prop_assert_eq!(without_prefix(&uri, &prefix).map(|uri| uri.to_string()), Some(rest));
        }
    }
}

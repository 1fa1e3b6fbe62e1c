//! Security headers on every response (OWASP ASVS 5.0 §3.4), and the origins that may call.

use std::sync::Arc;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Forbids to run a response, to show it in a frame and to use it as a base.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Allows Swagger UI's own scripts, styles and images, and inline styles. It calls this server only.
const SWAGGER_UI: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Two years, including subdomains, as ASVS 5.0 §3.4.1 requires from level 2 on.
const HTTPS_ONLY: &str = "max-age=63072000; includeSubDomains";
/// The origins that may call, as browsers spell them.
#[derive(Debug, Clone)]
pub struct AllowedOrigins(Arc<[HeaderValue]>);

impl AllowedOrigins {
    pub fn new(origins: &[String]) -> Self {
        // The settings have made sure that each is a serialized origin, which is plain ASCII.
        Self(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The exact origin or nothing: never `*`, and never what the caller says (ASVS 5.0 §3.4.2). Of two headers none is
    /// chosen.
    pub(super) fn find(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut given = headers.get_all(ORIGIN).iter();
        let origin = given.next().filter(|_| given.next().is_none())?;
        self.0.iter().find(|allowed| *allowed == origin).cloned()
    }
}

/// The settings for browsers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BrowserPolicy {
    https_only: bool,
    origins: AllowedOrigins,
}

impl BrowserPolicy {
    /// `issuer` is where browsers reach this server; `origins` are those whose pages may call it, as browsers spell
    /// them.
    pub fn new(issuer: &str, origins: &[String]) -> Self {
        Self { https_only: issuer.starts_with("https://"), origins: AllowedOrigins::new(origins) }
    }

    pub(super) fn origins(&self) -> &AllowedOrigins {
        &self.origins
    }

    /// Adds the security headers. What a page has said of itself stands.
    pub fn add_headers(&self, audience: Audience, headers: &mut HeaderMap) {
        let mut set = |name: HeaderName, value| {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        };
        set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(REFERRER_POLICY, "no-referrer");
        set(CONTENT_SECURITY_POLICY, if audience == Audience::Docs { SWAGGER_UI } else { NOTHING });
        if self.https_only {
            set(STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
        }
        if audience == Audience::Api {
            set(CACHE_CONTROL, "no-store");
        }
    }
}

/// What a path serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// JSON for programs.
    Api,
    /// Swagger UI.
    Docs,
    /// Pages of links in e-mails, keys, metadata.
    Other,
}

impl Audience {
    pub fn of(path: &str) -> Self {
        if path.starts_with("/api/") {
            Self::Api
        } else if path == "/docs" || path.starts_with("/docs/") {
            Self::Docs
        } else {
            Self::Other
        }
    }
}

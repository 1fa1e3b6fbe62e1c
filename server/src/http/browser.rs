//! Security headers on every response (OWASP ASVS 5.0 §3.4), and the origins that may call.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::from_fn_with_state;

use super::cors::{AllowedOrigins, allow_origins};

/// Forbids to run a response, to show it in a frame and to use it as a base.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Allows Swagger UI's own scripts, styles and images, and inline styles. It calls this server only.
const SWAGGER_UI: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Two years, including subdomains, as ASVS 5.0 §3.4.1 requires from level 2 on.
const HTTPS_ONLY: &str = "max-age=63072000; includeSubDomains";
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

    /// Lets pages of the configured origins call `router`. Without origins there is no CORS at all: the browser then keeps
    /// every other origin's page from reading an answer, and from asking for more than a form can.
    pub fn allow_origins(self, router: Router) -> Router {
        if self.origins.is_empty() { router } else { router.layer(from_fn_with_state(self, allow_origins)) }
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

//! Security headers on every response (OWASP ASVS 5.0 §3.4), and the origins that may call.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

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

    /// Puts both around everything that `router` answers. Without origins there is no CORS at all: the browser then
    /// keeps every other origin's page from reading an answer, and from asking for more than a form can.
    pub fn apply(self, router: Router) -> Router {
        let origins = self.origins.clone();
        let router = if origins.is_empty() {
            router
        } else {
            router.layer(from_fn_with_state(origins, allow_origins))
        };
        router.layer(from_fn_with_state(self, add_headers))
    }
}

async fn add_headers(State(policy): State<BrowserPolicy>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_docs = path == "/docs" || path.starts_with("/docs/");
    let is_api = path.starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // What a page has said of itself stands.
    let mut set = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(REFERRER_POLICY, "no-referrer");
    set(CONTENT_SECURITY_POLICY, if is_docs { SWAGGER_UI } else { NOTHING });
    if policy.https_only {
        set(STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    if is_api {
        set(CACHE_CONTROL, "no-store");
    }
    response
}

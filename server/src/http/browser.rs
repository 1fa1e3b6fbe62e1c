//! Security headers on every response (OWASP ASVS 5.0 §3.4), and the origins that may call (the Fetch standard's CORS
//! protocol).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Forbids to run a response, to show it in a frame and to use it as a base.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Allows Swagger UI's own scripts, styles and images, and inline styles. It calls this server only.
const SWAGGER_UI: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// Two years, including subdomains, as ASVS 5.0 §3.4.1 requires from level 2 on.
const HTTPS_ONLY: &str = "max-age=63072000; includeSubDomains";
/// How long a browser caches a preflight response; Chromium's maximum.
const PREFLIGHT_AGE: Duration = Duration::from_hours(2);

/// The settings for browsers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BrowserPolicy {
    https_only: bool,
    origins: Arc<[HeaderValue]>,
}

impl BrowserPolicy {
    /// `issuer` is where browsers reach this server; `origins` are those whose pages may call it, as browsers spell
    /// them.
    pub fn new(issuer: &str, origins: &[String]) -> Self {
        // The settings have made sure that each is a serialized origin, which is plain ASCII.
        let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        Self { https_only: issuer.starts_with("https://"), origins: origins.collect() }
    }

    /// Puts both around everything that `router` answers. Without origins there is no CORS at all: the browser then
    /// keeps every other origin's page from reading an answer, and from asking for more than a form can.
    pub fn apply(self, router: Router) -> Router {
        let router = if self.origins.is_empty() { router } else { router.layer(self.cors()) };
        router.layer(axum::middleware::from_fn_with_state(self, add_headers))
    }

    fn cors(&self) -> CorsLayer {
        CorsLayer::new()
            // The exact origin or nothing: never `*`, and never what the caller says (ASVS 5.0 §3.4.2).
            .allow_origin(AllowOrigin::list(self.origins.iter().cloned()))
            // Without it a browser drops the cookies that a login on another origin of the same site sets. They let
            // nobody in by themselves: what changes something needs the bearer.
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([
                ACCEPT,
                ACCEPT_LANGUAGE,
                AUTHORIZATION,
                CONTENT_TYPE,
                HeaderName::from_static("x-request-id"),
                HeaderName::from_static("traceparent"),
                HeaderName::from_static("tracestate"),
            ])
            .expose_headers([
                LOCATION,
                RETRY_AFTER,
                WWW_AUTHENTICATE,
                HeaderName::from_static("x-request-id"),
            ])
            .max_age(PREFLIGHT_AGE)
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

//! The tower layer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::json;

use crate::error::Refusal;
use crate::token::Token;
use crate::verifier::Verifier;

/// Accepts requests with a valid access token that has the required scopes and groups, and adds the [`Token`] to their
/// extensions.
#[derive(Clone)]
pub struct Layer {
    verifier: Verifier,
    required: Arc<Required>,
}

#[derive(Clone, Default)]
struct Required {
    scopes: Vec<String>,
    groups: Vec<String>,
    person: bool,
}

impl Required {
    fn is_met_by(&self, token: &Token) -> bool {
        self.scopes.iter().all(|scope| token.has_scope(scope))
            && self.groups.iter().all(|group| token.has_group(group))
            && (!self.person || token.is_person())
    }
}

impl Verifier {
    /// A layer that accepts requests with a valid access token only.
    pub fn layer(&self) -> Layer {
        Layer { verifier: self.clone(), required: Arc::default() }
    }
}

impl Layer {
    /// Requires a scope, in addition to others.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.required).scopes.push(scope.into());
        self
    }

    /// Requires that the person is a member of a group, in addition to others.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.required).groups.push(group.into());
        self
    }

    /// Refuses clients' own tokens.
    #[must_use]
    pub fn people_only(mut self) -> Self {
        Arc::make_mut(&mut self.required).person = true;
        self
    }

    async fn accept(&self, token: Result<String, Refusal>) -> Result<Token, Refusal> {
        let token = self.verifier.verify(&token?).await?;
        if self.required.is_met_by(&token) { Ok(token) } else { Err(Refusal::Insufficient) }
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, layer: self.clone() }
    }
}

/// The service of a [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    layer: Layer,
}

impl<S, B, R> tower::Service<Request<B>> for Service<S>
where
    S: tower::Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The clone need not be ready; the service that was polled is.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        let presented = bearer_token(request.headers());
        Box::pin(async move {
            match layer.accept(presented).await {
                Ok(token) => {
                    request.extensions_mut().insert(token);
                    inner.call(request).await
                }
                Err(refusal) => Ok(respond(refusal)),
            }
        })
    }
}

/// The token of the header (RFC 6750 §2.1). Of two headers none is chosen.
fn bearer_token(headers: &HeaderMap) -> Result<String, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::NoToken)?;
    if values.next().is_some() {
        return Err(Refusal::InvalidToken);
    }
    let text = value.to_str().map_err(|_| Refusal::InvalidToken)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim().to_owned()),
        _ => Err(Refusal::NoToken),
    }
}

fn respond<R: From<String>>(refusal: Refusal) -> Response<R> {
    let status = refusal.status();
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": refusal.to_string(),
    });
    let mut response = Response::new(R::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match refusal.challenge() {
        Some(challenge) => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)),
        None => headers.insert(RETRY_AFTER, HeaderValue::from_static("2")),
    };
    response
}

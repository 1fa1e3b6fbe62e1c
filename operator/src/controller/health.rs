//! The operator's HTTP endpoints: `/livez`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;

use crate::metrics::Metrics;

/// Whether this replica is ready. A replica that waits for leadership is ready while the API server responds; the
/// leader is ready after the initial lists.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    readiness: Readiness,
}

pub(crate) fn router(metrics: Metrics, readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render_metrics))
        .with_state(Shared { metrics, readiness })
}

async fn readyz(State(shared): State<Shared>) -> Response {
    if shared.readiness.get() {
        "ok".into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the API server has not answered yet, or the initial lists are not complete",
        )
            .into_response()
    }
}

async fn render_metrics(State(shared): State<Shared>) -> Response {
    match shared.metrics.render() {
        Ok(text) => {
            let parts = std::iter::once(text).chain(shared.metrics.auth_services());
            let body = Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)));
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics could not be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
